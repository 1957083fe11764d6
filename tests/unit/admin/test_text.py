"""Nothing that a user or a guest wrote is obeyed by a terminal."""

from __future__ import annotations

import json
import unicodedata
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from virt_admin.screen.tables import table
from virt_admin.screen.text import age, clean, listed, to_json
from virt_core.objects.meta import rfc3339

from .bodies import NOW

TERMINAL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066"


@given(st.text())
def test_a_cleaned_text_has_no_control_and_is_one_line(text: str) -> None:
    shown = clean(text)
    assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for letter in shown)
    assert clean(shown) == shown


def test_controls_are_shown_as_escapes() -> None:
    assert clean("a\x1b[31mb\nc\td") == "a\\u{1b}[31mb c d"
    assert clean("x" * 3000) == "x" * 2000 + "…"
    assert clean("Grüße, 日本") == "Grüße, 日本"


@given(st.text())
def test_json_is_ascii(text: str) -> None:
    line = to_json({"a": text.encode(errors="replace").decode()})
    assert line.isascii() and line.isprintable() and "a" in json.loads(line)


def test_a_table_shows_neither_markup_nor_controls() -> None:
    console = Console(force_terminal=True, width=200, highlight=False)
    with console.capture() as captured:
        console.print(table(("NAME",), [("[red]x[/red] [link=http://evil]y[/link]",), (TERMINAL,)]))
    shown = captured.get()
    assert "[red]x[/red] [link=http://evil]y[/link]" in shown
    assert "owned\\u{7}" in shown
    assert not set(shown) & {"\x07", "\x9b", "\u202e", "\u2066"}
    assert "\x1b]" not in shown and "\x1b[2J" not in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d"), (-5, "0s")],
)
def test_an_age_is_as_kubectl_writes_it(seconds: int, shown: str) -> None:
    assert age(rfc3339(NOW - timedelta(seconds=seconds)), NOW) == shown


def test_an_unknown_age_is_empty() -> None:
    assert age(None, NOW) == age("", NOW) == ""


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg"), 2) == "a, b and 5 more"
