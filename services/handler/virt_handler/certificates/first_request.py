"""Creates the first certificate request of a new pod while app.py is imported. Called by start.py.

It imports no gRPC and no Kubernetes client. renewal.py sends the request; what fails here is repeated there.
"""

from __future__ import annotations

from pathlib import Path

from virt_core import logs
from virt_core.conventions.certificate_files import LEAF
from virt_core.conventions.node_certificate import dns_names

from virt_handler.certificates import apart, pending
from virt_handler.certificates.pending import Pending
from virt_handler.certificates.question import Wanted
from virt_handler.settings import Settings

_log = logs.bound("virt_handler.certificates.first_request")


async def prepare(settings: Settings) -> None:
    """Store a request in the certificates' folder, unless the pod has a certificate or a request already."""
    if (settings.certificates / LEAF).exists():
        return
    try:
        await stored(settings.certificates, dns_names(settings.node, settings.namespace))
    except (apart.Failed, OSError) as error:
        _log.warning("leaving the certificate request to the renewal", reason=str(error))


async def stored(folder: Path, names: tuple[str, ...]) -> Pending:
    """The stored request; a new one for `names` if there is none.

    Raises:
        apart.Failed, OSError: there is none, and a new one cannot be created or stored.
    """
    waiting = pending.read(folder)
    if waiting is None:
        made = await apart.ask(Wanted(names=names))
        waiting = Pending(made.key, made.request)
        pending.write(folder, waiting)
    return waiting
