"""spec.certificateRotateStrategy: accepted values, and refusals with field, value and what is allowed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from virt_core.objects.duration import parse_duration
from virt_operator.certificates.rotation import DEFAULT, RefusedRotation, Rotation, Span, rotation_of


def rotate_strategy(**own: Any) -> dict[str, Any]:
    return {"certificateRotateStrategy": {"selfSigned": own}}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("5m0s", 300), ("1h30m", 5400), ("1.5h", 5400), (".5s", 0.5), ("0", 0), ("90s", 90)],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "-5m", "5 m", "1d", "h", "1e3s", "9999999999h", "5m 0s", "٣m"])
def test_other_durations_are_none(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"certificateRotateStrategy": {}},
        rotate_strategy(),
        rotate_strategy(ca={}, server=None),
        rotate_strategy(certRotateInterval=""),
    ],
)
def test_what_is_absent_or_empty_has_its_default(spec: dict[str, Any]) -> None:
    assert rotation_of(spec) == DEFAULT


def test_lifetimes_are_used_and_renewal_is_at_half_life_by_default() -> None:
    minute = timedelta(minutes=1)
    found = rotation_of(rotate_strategy(ca={"duration": "10m"}, server={"duration": "6m", "renewBefore": "2m30s"}))
    assert found == Rotation(Span(10 * minute, 5 * minute), Span(6 * minute, 2.5 * minute))


def test_the_deprecated_form_has_the_same_effect() -> None:
    old = rotation_of(rotate_strategy(caRotateInterval="48h", caOverlapInterval="12h", certRotateInterval="6h"))
    assert old == rotation_of(rotate_strategy(ca={"duration": "48h", "renewBefore": "12h"}, server={"duration": "6h"}))


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"ca": {"duration": "soon"}}, "ca.duration: 'soon' is not a duration such as 24h or 5m0s"),
        ({"server": {"duration": 5}}, "server.duration: 5 is not a duration"),
        ({"certRotateInterval": "-1h"}, "certRotateInterval: '-1h' is not a duration"),
        ({"ca": {"duration": "48h"}, "certRotateInterval": "1h"}, "certRotateInterval: '1h' is the deprecated form"),
        ({"ca": {"renewBefore": "168h"}}, "ca.renewBefore: '168h' is not allowed, use 4m0s (new certificates must"),
        ({"server": {"duration": "5m", "renewBefore": "5m"}}, "to 4m0s (less than the duration, 5m0s)"),
        ({"server": {"renewBefore": "0s"}}, "server.renewBefore: '0s' is not allowed, use 2m0s"),
        ({"server": {"duration": "3m"}}, "server.duration: '3m' is not allowed, use at least 4m0s"),
        ({"server": {"duration": "169h"}}, "server.duration: '169h' is longer than the authority's own 168h0m0s"),
        ({"ca": {"duration": "20h"}}, "server.duration: '24h0m0s' is longer than the authority's own 20h0m0s"),
        ({"ca": "48h"}, "ca: '48h' is not allowed, use an object with duration, renewBefore"),
        ({"ca": {"life": "1h"}}, "ca.life: '1h' is not allowed, use duration, renewBefore"),
    ],
)
def test_a_bad_value_is_refused_by_field_value_and_what_is_allowed(own: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedRotation) as refused:
        rotation_of(rotate_strategy(**own))
    assert str(refused.value).startswith("spec.certificateRotateStrategy.selfSigned.")
    assert message in str(refused.value)
