"""Quantities, as Kubernetes reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virt_core.objects.quantity import parse_bytes, parse_quantity

BINARY = {f"{letter}i": 2 ** (10 * power) for power, letter in enumerate("KMGTPE", 1)}
DECIMAL = {letter: 1000**power for power, letter in enumerate(["", "k", "M", "G", "T", "P", "E"])}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"), ("64Mi", "67108864"), ("1.5Gi", "1610612736"), ("1G", "1000000000"), ("2000m", "2"), ("1u", "1e-6"),
        ("5n", "5e-9"), ("1e3", "1000"), ("1E3", "1000"), ("1E", "1e18"), ("12e-1", "1.2"), ("-1Ki", "-1024"),
        ("+3", "3"), ("1.", "1"), (".5Ki", "512"), ("0.1", "0.1"),
    ],
)  # fmt: skip
def test_known(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**63), st.sampled_from([*BINARY.items(), *DECIMAL.items()]))
def test_a_whole_number_with_a_suffix_is_that_many(number: int, suffix: tuple[str, int]) -> None:
    assert parse_quantity(f"{number}{suffix[0]}") == Decimal(number * suffix[1])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**15))
def test_thousandths_are_rounded_up(number: int) -> None:
    assert parse_bytes(f"{number}m") == -(-number // 1000)


@pytest.mark.parametrize(
    "text", ["", " ", "Mi", "64 Mi", "64mi", "64KiB", "1,5", "1.2.3", ".", "+", "0x10", "1e", "1e999", "NaN", "inf",
             "--1", "1Ei2", "١", "1\n", "1_000", "9" * 31],
)  # fmt: skip
def test_anything_else_is_refused_by_value(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity") as refused:
        parse_quantity(text)
    assert repr(text) in str(refused.value)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=12))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        assert parse_quantity(text).is_finite()
    except ValueError as error:
        assert "is not a quantity" in str(error)
