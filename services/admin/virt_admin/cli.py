"""The command line: options, and what each command calls. `--help` is an interface.

Called by __main__.py. Commands run on asyncio's own loop: virtadm also runs where uvloop is not.
"""

from __future__ import annotations

import logging

import click

from virt_admin.cli_requests import COMMANDS
from virt_admin.flags import OUTPUT, Flags, quiet_grpc, run

_STATUSES = """\b
Exit status:
  0   nothing to do
  1   a change or a wait is in progress, or a part does not work
  2   what was asked about does not work
  3   it could not be found out: no kubeconfig, no permission, no answer
  64  the command line is wrong"""


# Not docstrings, which python -OO removes.
_VIRTADM = """\
What the virtualization suite of a cluster does, what it waits for, and why a VM does not start, move or stop.

status, watch and doctor only read the API server, so they also work while virt-operator does not. peers, contracts and
plan ask virt-operator. upgrade, pause, resume, rollback and finalize change the KubeVirt object."""
_STATUS = """\
Show the suite: conditions, the step of a change and what it waits for, components, nodes, guests."""
_WATCH = """\
Show the suite as it changes, until interrupted.

A terminal gets a live view. A pipe gets a line for each thing that has changed, with the time; with `-o json` a
line with the whole state. Interrupted by SIGINT or SIGTERM it ends with status 0."""
_PEERS = """\
Ask virt-operator for every process of the suite: its release, contracts and features, or why it does not answer.

It needs a kubeconfig with a client certificate, the permission to forward ports of virt-operator's pods, and "get"
of kubevirts/admin in group kubevirt.io. The connection goes through the API server and is verified against the
suite's authority. Status 1: a process does not answer, or they are not all of one release."""
_CONTRACTS = """\
Ask virt-operator which process serves which versions of which contract, and what each two sides share.

It needs what `peers` needs. Status 1: a process does not answer; 2: two sides that call each other share no version."""
_PLAN = """\
Say what a change to another release would do, before anything is touched.

For each VM, node, stored object, permission and certificate: what stands in the way, what will be done, how long
it takes and what cannot go back. virt-operator runs the images of the target in labelled Jobs, which it deletes, and
writes nothing else. It needs what `peers` needs, with the verb "plan" of kubevirts/admin instead of "get"."""
_PLAN_STATUSES = """\b
Exit status:
  0   clean: nothing stands in the way
  1   warnings: it can be done, but read them before
  2   blocked: something stands in the way
  3   it could not be found out: no kubeconfig, no permission, no answer
  64  the command line is wrong"""
_DOCTOR = """\
Say why a VM does not start, move or stop; without a name, why the suite is not available.

Each finding is a problem that does not mend itself, a wait, or a note: what it is, which object, since when, and
what to do. Status 2: there is a problem; 1: something is waited for."""
_UI = """\
Serve a page on localhost: VMs with their actions, events, serial console and display, the upgrade and its plan.

Everything is read and done with this kubeconfig; --namespace shows the VMs of one namespace. The page asks once for the
code that is printed; if this terminal has a screen, the browser opens and has it already. Interrupted by SIGINT or
SIGTERM it ends with status 0."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, help=_VIRTADM, epilog=_STATUSES
)
@click.option("--kubeconfig", metavar="FILES", help="Kubeconfig, or several, as in KUBECONFIG.  [default: as kubectl]")
@click.option("--context", "context_name", help="Context of the kubeconfig.  [default: its current one]")
@click.option("-n", "--namespace", help="Where `doctor NAME` looks, and whose VMs `ui` shows.")
@click.option("-v", "--verbose", is_flag=True, help="Log requests and failures to standard error.")
@click.pass_context
def virtadm(
    context: click.Context, kubeconfig: str | None, context_name: str | None, namespace: str | None, verbose: bool
) -> None:
    """Remember the options before the command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL + 1)
    context.obj = Flags(kubeconfig, context_name, namespace)


for _command in COMMANDS:
    virtadm.add_command(_command)


@virtadm.command(help=_STATUS, epilog=_STATUSES, short_help="Show the suite once.")
@OUTPUT
@click.pass_obj
def status(flags: Flags, output: str) -> int:
    """Print the suite once."""
    from virt_admin.show import show_status

    return run(flags, lambda access: show_status(access, output))


@virtadm.command(help=_WATCH, short_help="Show the suite as it changes.")
@OUTPUT
@click.pass_obj
def watch(flags: Flags, output: str) -> int:
    """Follow the suite."""
    from virt_admin.follow import follow_suite

    return run(flags, lambda access: follow_suite(access, output))


@virtadm.command(help=_PEERS, epilog=_STATUSES, short_help="Ask virt-operator for every process of the suite.")
@OUTPUT
@click.pass_obj
def peers(flags: Flags, output: str) -> int:
    """List the processes."""
    quiet_grpc()
    from virt_admin.peers.ask import show_peers

    return run(flags, lambda access: show_peers(access, output))


@virtadm.command(help=_CONTRACTS, epilog=_STATUSES, short_help="Ask virt-operator which contracts are served.")
@OUTPUT
@click.pass_obj
def contracts(flags: Flags, output: str) -> int:
    """Show the matrix."""
    quiet_grpc()
    from virt_admin.peers.contracts import show_contracts

    return run(flags, lambda access: show_contracts(access, output))


@virtadm.command(help=_PLAN, epilog=_PLAN_STATUSES, short_help="Say what an upgrade would do and what is in its way.")
@click.option("--to", "tag", metavar="TAG", required=True, help="Tag of the target's images, as in spec.imageTag.")
@click.option("--registry", default="", help="Registry of the target's images.  [default: the suite's]")
@click.option("--offline", is_flag=True, help="Run no images: examine only what is known without them.")
@OUTPUT
@click.pass_obj
def plan(flags: Flags, tag: str, registry: str, offline: bool, output: str) -> int:
    """Make a plan."""
    quiet_grpc()
    from kubevirt.admin.v1 import admin_pb2

    from virt_admin.preflight.ask import show_plan

    request = admin_pb2.PlanRequest(tag=tag, registry=registry, offline=offline)
    return run(flags, lambda access: show_plan(access, request, output))


@virtadm.command(help=_DOCTOR, epilog=_STATUSES, short_help="Say why a VM does not start, move or stop.")
@click.argument("vm", metavar="[[NAMESPACE/]NAME]", required=False)
@OUTPUT
@click.pass_obj
def doctor(flags: Flags, vm: str | None, output: str) -> int:
    """Examine a VM or the suite."""
    from virt_admin.doctor.examine import examine

    return run(flags, lambda access: examine(access, vm, output))


@virtadm.command(help=_UI, short_help="Serve a page on localhost: VMs, consoles, upgrade.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1.  [default: any]")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the browser.")
@click.pass_obj
def ui(flags: Flags, port: int, browser: bool) -> int:
    """Serve the page."""
    quiet_grpc()
    from virt_admin.ui.serve import serve

    return run(flags, lambda access: serve(access, flags.namespace, port=port, browser=browser))
