"""What the environment may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt_api.settings import BadSetting, Settings


def test_what_the_kubelet_sets_for_our_own_service_is_not_a_setting() -> None:
    # Seen in a real pod: service links of the Service "virt-api" look like settings of the program of that name.
    links = {"VIRT_API_PORT": "tcp://10.96.0.7:443", "VIRT_API_SERVICE_PORT": "443", "POD_NAMESPACE": "suite"}
    settings = Settings.from_environment(links)
    assert (settings.port, settings.namespace) == (8443, "suite")
    assert settings.certificates == Path("/etc/virt/certificates")


@pytest.mark.parametrize("text", ["tcp://1.2.3.4", "-1", "65536", "８"])
def test_a_port_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadSetting, match="VIRT_HANDLER_LISTENS_ON"):
        Settings.from_environment({"VIRT_HANDLER_LISTENS_ON": text})
