"""spec.upgradeStrategy of the KubeVirt object: which values are allowed, and what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from virt_operator.strategy.crds import kubevirts
from virt_operator.suite.spec import RefusedSpec, install_settings
from virt_operator.suite.upgrade_strategy import Finalizing, Pace, finalizing_of, pace_of

from tests.unit.operator.suites import OPERATOR

FIELDS = ("canary", "waveSize", "pauseBetweenWaves", "paused", "probeGuest", "finalize", "soak")


def strategy(**fields: Any) -> dict[str, Any]:
    return {"upgradeStrategy": fields}


@pytest.mark.parametrize(
    ("fields", "pace"),
    [
        ({}, Pace(canary=1, percent=20)),
        ({"canary": 0, "waveSize": 3}, Pace(canary=0, nodes=3)),
        ({"waveSize": "100%", "pauseBetweenWaves": "1m30s"}, Pace(percent=100, pause=timedelta(seconds=90))),
        ({"canary": None, "waveSize": None, "pauseBetweenWaves": "0", "paused": True}, Pace(paused=True)),
        ({"probeGuest": False}, Pace(probe_guest=False)),
    ],
)
def test_absent_fields_have_their_defaults(fields: dict[str, Any], pace: Pace) -> None:
    install_settings(strategy(**fields), OPERATOR)
    assert pace_of(strategy(**fields)) == pace
    assert pace_of({}) == pace_of({"upgradeStrategy": None}) == Pace()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"canary": -1}, r"spec\.upgradeStrategy\.canary: -1 is not a number of nodes from 0"),
        ({"canary": True}, r"spec\.upgradeStrategy\.canary: True is not a number"),
        ({"waveSize": 0}, r"spec\.upgradeStrategy\.waveSize: 0 is not a number of nodes from 1, or a percentage"),
        ({"waveSize": "0%"}, r"waveSize: '0%' is not .* from 1% to 100%"),
        ({"waveSize": "101%"}, r"waveSize: '101%' is not"),
        ({"waveSize": "20"}, r"waveSize: '20' is not"),
        ({"pauseBetweenWaves": "-1s"}, r"pauseBetweenWaves: '-1s' is not a duration of 0s or more"),
        ({"pauseBetweenWaves": 30}, r"pauseBetweenWaves: 30 is not a duration"),
        ({"paused": "yes"}, r"spec\.upgradeStrategy\.paused: 'yes' is not true or false"),
        ({"probeGuest": 1}, r"spec\.upgradeStrategy\.probeGuest: 1 is not true or false"),
        ({"later": 1}, r"spec\.upgradeStrategy\.later: 1 is not supported by this release, use canary, waveSize, "),
        ({"finalize": "auto"}, r"spec\.upgradeStrategy\.finalize: 'auto' is not one of Auto, Manual"),
        ({"finalize": True}, r"spec\.upgradeStrategy\.finalize: True is not one of Auto, Manual"),
        ({"finalize": ["Auto"]}, r"spec\.upgradeStrategy\.finalize: \['Auto'\] is not one of"),
        ({"soak": "-1h"}, r"spec\.upgradeStrategy\.soak: '-1h' is not a duration of 0s or more, such as 30s"),
        ({"soak": 60}, r"spec\.upgradeStrategy\.soak: 60 is not a duration"),
    ],
)
def test_a_refusal_names_field_value_and_what_is_allowed(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedSpec, match=message) as refused:
        install_settings(strategy(**fields), OPERATOR)
    assert refused.value.reason == "InvalidField"
    with pytest.raises(RefusedSpec, match="is not allowed, use an object with canary"):
        install_settings({"upgradeStrategy": 5}, OPERATOR)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Finalizing(manual=False, soak=timedelta(hours=1))),
        ({"finalize": "Manual"}, Finalizing(manual=True)),
        ({"finalize": "Auto", "soak": "0s"}, Finalizing(soak=timedelta(0))),
        ({"finalize": None, "soak": "1h30m"}, Finalizing(soak=timedelta(minutes=90))),
    ],
)
def test_an_upgrade_is_finalized_on_its_own_after_an_hour_or_as_asked_for(
    fields: dict[str, Any], expected: Finalizing
) -> None:
    install_settings(strategy(**fields), OPERATOR)
    assert finalizing_of(strategy(**fields)) == expected


@pytest.mark.parametrize(
    ("pace", "nodes", "sizes"),
    [
        (Pace(), 2, (1, 1, 1)),
        (Pace(), 100, (1, 20, 20)),
        (Pace(canary=0), 100, (20, 20, 20)),
        (Pace(canary=3, nodes=7), 100, (3, 7, 7)),
        (Pace(percent=1), 10, (1, 1, 1)),
    ],
)
def test_a_wave_has_at_least_one_node(pace: Pace, nodes: int, sizes: tuple[int, ...]) -> None:
    assert tuple(pace.size(number, nodes) for number in (1, 2, 3)) == sizes


def test_the_definition_knows_each_field_and_prunes_none() -> None:
    (version,) = [version for version in kubevirts()["spec"]["versions"] if version["storage"]]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(spec["upgradeStrategy"]["properties"]) == set(FIELDS)
    assert spec["upgradeStrategy"]["x-kubernetes-preserve-unknown-fields"] is True
