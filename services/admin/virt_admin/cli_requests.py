"""The commands that change something: their options, and what each calls. `--help` is an interface.

Used by cli.py.
"""

from __future__ import annotations

import click

from virt_admin.flags import OUTPUT, Flags, quiet_grpc, run
from virt_admin.requests.methods import FINALIZE, PAUSE, RESUME, ROLLBACK, UPGRADE

_STATUSES = """\b
Exit status:
  0   it is done; with --no-wait: it is requested
  1   it was requested and goes on without virtadm, or somebody requested something else
  2   nothing was changed: something stands in the way; or it has stopped and gone back
  3   it could not be found out: no kubeconfig, no permission, no answer
  64  the command line is wrong"""
_HOW = """\
virt-operator changes the KubeVirt object and records who you are: it needs a client certificate and the verb "{verb}"
of kubevirts/admin. With --direct, or without a client certificate, the object is changed with your own rights."""
_UPGRADE = f"""\
Change the suite to another release, newer or older; or try one again that has stopped.

First virt-operator makes the plan (see `virtadm plan`). If nothing stands in the way, the change is requested and shown
until it has ended. {_HOW.format(verb="upgrade")}"""
_PAUSE = f"""\
Hold the change in progress after its present wave or component; or the next one before its begin.

{_HOW.format(verb="pause")}"""
_RESUME = f"""\
End a pause.

{_HOW.format(verb="resume")}"""
_ROLLBACK = f"""\
Go back: from the change in progress, from one that has stopped, or from the last one until it is finalized.

{_HOW.format(verb="rollback")}"""
_FINALIZE = f"""\
End the way back now, without waiting any longer.

{_HOW.format(verb="finalize")}"""

_DIRECT = click.option("--direct", is_flag=True, help="Change the KubeVirt object with your own rights.")
_WAIT = click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Show it until it has ended.")


@click.command(help=_UPGRADE, epilog=_STATUSES, short_help="Change the suite to another release.")
@click.option("--to", "tag", metavar="TAG", required=True, help="Tag of the target's images, as in spec.imageTag.")
@click.option("--registry", default="", help="Registry of the target's images.  [default: the suite's]")
@click.option("--skip-plan", is_flag=True, help="Begin without a plan.")
@_WAIT
@_DIRECT
@OUTPUT
@click.pass_obj
def upgrade(flags: Flags, tag: str, registry: str, skip_plan: bool, waits: bool, direct: bool, output: str) -> int:  # noqa: PLR0917
    """Request another release."""
    quiet_grpc()
    from virt_admin.requests import commands
    from virt_admin.requests.wish import Wish

    wish = Wish(UPGRADE, tag, registry)
    return run(
        flags, lambda access: commands.upgrade(access, wish, output, plans=not skip_plan, waits=waits, direct=direct)
    )


@click.command(help=_PAUSE, epilog=_STATUSES, short_help="Hold the change in progress, or the next one.")
@_DIRECT
@OUTPUT
@click.pass_obj
def pause(flags: Flags, direct: bool, output: str) -> int:
    """Request a pause."""
    return _request(flags, PAUSE, output, waits=False, direct=direct)


@click.command(help=_RESUME, epilog=_STATUSES, short_help="End a pause.")
@_DIRECT
@OUTPUT
@click.pass_obj
def resume(flags: Flags, direct: bool, output: str) -> int:
    """Request the end of a pause."""
    return _request(flags, RESUME, output, waits=False, direct=direct)


@click.command(help=_ROLLBACK, epilog=_STATUSES, short_help="Go back to what was installed before.")
@_WAIT
@_DIRECT
@OUTPUT
@click.pass_obj
def rollback(flags: Flags, waits: bool, direct: bool, output: str) -> int:
    """Request the way back."""
    return _request(flags, ROLLBACK, output, waits=waits, direct=direct)


@click.command(help=_FINALIZE, epilog=_STATUSES, short_help="End the way back now.")
@_DIRECT
@OUTPUT
@click.pass_obj
def finalize(flags: Flags, direct: bool, output: str) -> int:
    """Request the end of the way back."""
    return _request(flags, FINALIZE, output, waits=False, direct=direct)


def _request(flags: Flags, method: str, output: str, *, waits: bool, direct: bool) -> int:
    quiet_grpc()
    from virt_admin.requests import commands
    from virt_admin.requests.wish import Wish

    wish = Wish(method)
    return run(flags, lambda access: commands.request(access, wish, output, waits=waits, direct=direct))


COMMANDS = (upgrade, pause, resume, rollback, finalize)
