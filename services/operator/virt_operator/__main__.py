"""``python -m virt_operator``: without arguments the operator itself; `manifests` writes what a user applies, and
`dump-install-strategy` prints what this release installs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from virt_operator.manifest import write_manifests
from virt_operator.settings import Settings
from virt_operator.strategy.desired import desired_objects
from virt_operator.strategy.settings import PULL_POLICIES, InstallSettings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m virt_operator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    manifests = commands.add_parser("manifests", help="write kubevirt-operator.yaml and kubevirt-cr.yaml")
    manifests.add_argument("--registry", required=True, help="where the images are, for example host:5000/path")
    manifests.add_argument("--tag", required=True, help="tag of the images")
    manifests.add_argument("--version", default="", help="release, written as a label")
    manifests.add_argument("--namespace", default="kubevirt")
    manifests.add_argument("--pull-policy", default="IfNotPresent", choices=PULL_POLICIES)
    manifests.add_argument("--use-emulation", action="store_true", help="guests run without hardware virtualization")
    manifests.add_argument("--out", type=Path, default=Path("build/manifests"), help="folder (default %(default)s)")
    commands.add_parser("dump-install-strategy", help="print the desired objects as JSON (needs VIRT_OPERATOR_IMAGE)")
    return parser.parse_args()


def main() -> None:
    """Do what the command line says."""
    arguments = _arguments()
    if arguments.command == "manifests":
        settings = InstallSettings(
            arguments.namespace, arguments.registry.rstrip("/"), arguments.tag, arguments.pull_policy
        )
        written = write_manifests(
            settings, arguments.out, use_emulation=arguments.use_emulation, version=arguments.version
        )
        print(*written, sep="\n")
        return
    own = Settings.from_environment()
    if arguments.command == "dump-install-strategy":
        json.dump(desired_objects(InstallSettings(own.namespace, own.registry, own.tag)), sys.stdout, indent=1)
        return
    _serve(own)


def _serve(settings: Settings) -> None:
    # The other commands run where no cluster is, and need none of this.
    from virt_core import aio, logs

    from virt_operator.app import main as app_main

    logs.setup("virt-operator")
    aio.run(lambda stopping: app_main(settings, stopping))


if __name__ == "__main__":
    main()
