"""Environment variables of a process: accepted values and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt_core.settings import BadSetting, Environment


def test_what_is_absent_or_empty_has_its_default() -> None:
    read = Environment({"EMPTY": ""})
    for variable in ("ABSENT", "EMPTY"):
        assert read.text(variable, "x") == "x"
        assert read.path(variable, "/x") == Path("/x")
        assert read.port(variable, 80) == 80
        assert read.seconds(variable, 5.0) == 5.0
        assert read.names(variable) == ()
        assert read.choice(variable, ("a", "b"), "a") == "a"


def test_what_is_required_is_missed_by_name() -> None:
    with pytest.raises(BadSetting, match="NODE_NAME: '' is not allowed, use a value"):
        Environment({"NODE_NAME": ""}).text("NODE_NAME")


@pytest.mark.parametrize("text", ["tcp://1.2.3.4", "-1", "65536", "８", "1.5"])
def test_a_port_out_of_range_is_refused_by_name_and_value(text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Environment({"LISTENS_ON": text}).port("LISTENS_ON", 80)
    assert str(refused.value) == f"LISTENS_ON: {text!r} is not allowed, use a port from 0 to 65535"


@pytest.mark.parametrize("text", ["soon", "-1", "61", "nan", "inf"])
def test_seconds_out_of_range_are_refused_by_name_and_value(text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Environment({"DRAIN": text}).seconds("DRAIN", 5.0)
    assert str(refused.value) == f"DRAIN: {text!r} is not allowed, use seconds from 0 to 60"


def test_a_word_that_is_no_choice_is_refused_with_the_choices() -> None:
    with pytest.raises(BadSetting, match="POLICY: 'always' is not allowed, use one of Always, Never"):
        Environment({"POLICY": "always"}).choice("POLICY", ("Always", "Never"), "Never")


def test_names_are_separated_by_commas() -> None:
    assert Environment({"SECRETS": "a,,b"}).names("SECRETS") == ("a", "b")
