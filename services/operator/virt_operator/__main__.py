"""``python -m virt_operator``: without arguments it runs the operator. `manifests`, `monitoring` and `chart` write
what a user applies, `print-install-strategy` runs in the Job that prints a release's objects, and the chart's two Jobs
run the others."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from virt_core.conventions import components, environment, images
from virt_core.settings import Environment

from virt_operator.packaging.chart import write_chart
from virt_operator.packaging.manifest import write_manifests, write_monitoring
from virt_operator.strategy.monitoring import RUNBOOKS
from virt_operator.strategy.settings import InstallSettings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m virt_operator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    manifests = commands.add_parser("manifests", help="write kubevirt-operator.yaml and kubevirt-cr.yaml")
    manifests.add_argument("--registry", required=True, help="where the images are, for example host:5000/path")
    manifests.add_argument("--tag", required=True, help="tag of the images")
    manifests.add_argument("--version", default="", help="release, written as a label")
    manifests.add_argument("--namespace", default="kubevirt")
    manifests.add_argument("--pull-policy", default=images.IF_NOT_PRESENT, choices=images.PULL_POLICIES)
    manifests.add_argument("--use-emulation", action="store_true", help="guests run without hardware virtualization")
    manifests.add_argument("--out", type=Path, default=Path("build/manifests"), help="folder (default %(default)s)")
    _digests(manifests)
    monitoring = commands.add_parser("monitoring", help="write kubevirt-monitoring.yaml, for the Prometheus operator")
    monitoring.add_argument("--namespace", default="kubevirt", help="the suite's (default %(default)s)")
    monitoring.add_argument("--monitor-namespace", required=True, help="the namespace of Prometheus")
    monitoring.add_argument("--monitor-account", required=True, help="its service account")
    about = "URL of the alerts' pages, with %%s for the name (default: KubeVirt's)"
    monitoring.add_argument("--runbooks", default=RUNBOOKS, help=about)
    monitoring.add_argument("--out", type=Path, default=Path("build/manifests"), help="folder (default %(default)s)")
    chart = commands.add_parser("chart", help="write the Helm chart")
    chart.add_argument("--registry", required=True, help="default of the chart's value `registry`")
    chart.add_argument("--tag", required=True, help="default of the chart's value `tag`")
    chart.add_argument("--version", required=True, help="the chart's own version, for example 0.1.0")
    chart.add_argument("--use-emulation", action="store_true", help="default of the chart's useEmulation")
    chart.add_argument("--source", type=Path, default=Path("charts/kubevirt"), help="folder (default %(default)s)")
    chart.add_argument("--out", type=Path, default=Path("build/charts/kubevirt"), help="folder (default %(default)s)")
    _digests(chart)
    after = commands.add_parser("after-install", help="of the chart: label the namespace, apply the KubeVirt object")
    after.add_argument("--kubevirt", type=json.loads, help="the KubeVirt object, as JSON")
    before = commands.add_parser("before-removal", help="of the chart: refuse while there is a KubeVirt object")
    before.add_argument("--delete", action="store_true", help="delete it instead, and wait until the suite is gone")
    commands.add_parser(
        "print-install-strategy", help="write this release's strategy into its ConfigMap (run by the operator's Job)"
    )
    return parser.parse_args()


def _digests(parser: argparse.ArgumentParser) -> None:
    about = "digest of an image, as name=sha256:…; once for each image of the suite"
    parser.add_argument("--digest", dest="digests", metavar="NAME=DIGEST", action="append", default=[], help=about)


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    if arguments.command == "manifests":
        settings = InstallSettings(
            arguments.namespace,
            arguments.registry.rstrip("/"),
            arguments.tag,
            arguments.pull_policy,
            digests=images.read_digests(arguments.digests),
        )
        written = write_manifests(
            settings, arguments.out, use_emulation=arguments.use_emulation, version=arguments.version
        )
        print(*written, sep="\n")
        return
    if arguments.command == "monitoring":
        prometheus = arguments.monitor_namespace, arguments.monitor_account
        print(write_monitoring(arguments.out, arguments.namespace, *prometheus, arguments.runbooks))
        return
    if arguments.command == "chart":
        defaults = {"registry": arguments.registry.rstrip("/"), "tag": arguments.tag, "version": arguments.version}
        digests = images.read_digests(arguments.digests)
        write_chart(arguments.source, arguments.out, **defaults, use_emulation=arguments.use_emulation, digests=digests)
        print(arguments.out)
        return
    if arguments.command in ("after-install", "before-removal"):
        sys.exit(_chart_hook(arguments))
    if arguments.command == "print-install-strategy":
        _print_strategy()
        return
    _serve()


def _chart_hook(arguments: argparse.Namespace) -> str | None:
    from virt_core import logs
    from virt_core.kube.client import KubeClient
    from virt_core.kube.errors import Forbidden, Invalid

    from virt_operator.packaging.chart_hooks import StillInUse, after_install, before_removal

    async def hook() -> None:
        namespace = Environment().text(environment.POD_NAMESPACE)
        async with KubeClient.connect("kubevirt-chart") as client:
            if arguments.command == "after-install":
                await after_install(client, namespace, arguments.kubevirt)
            else:
                await before_removal(client, namespace, delete=arguments.delete)

    logs.setup("kubevirt-chart")
    try:
        asyncio.run(hook())
    except (Forbidden, Invalid, StillInUse) as error:
        return str(error)
    return None


def _print_strategy() -> None:
    from virt_core import aio, logs

    from virt_operator.print_strategy import print_strategy

    logs.setup("virt-operator-strategy")
    aio.run(lambda _: print_strategy())


def _serve() -> None:
    # Imported here, because the other commands run without a cluster and need none of this.
    from virt_core.service import serve

    from virt_operator.app import run
    from virt_operator.settings import Settings

    serve(components.OPERATOR, Settings.from_environment, run, arguments=())


if __name__ == "__main__":
    main()
