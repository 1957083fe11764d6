"""The command line: `python -m localcluster COMMAND`. Parses arguments, takes the lock, calls the command's module."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster import base_image, clients, images, kube_binary, node, source_tag, teardown, up
from localcluster.progress import PartFailed, say
from localcluster.releases import build, dist, record, recorded
from localcluster.settings import PROJECT_ROOT, BadSetting, Cluster


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m localcluster", description="A real Kubernetes on this machine.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("up", help="bring the cluster up; what works already is left alone")
    command.add_argument("--nodes", type=int, help="how many nodes, 1 to 9 (default: as many as there are, else 2)")
    commands.add_parser("down", help="remove the cluster and everything it put on the machine, but for the caches")
    commands.add_parser("kill", help="kill -9 every process of the cluster at once and clean nothing, as a crash does")
    commands.add_parser("status", help="one line per part; ends with 1 when one is down")
    command = commands.add_parser(
        "images", help="build the product's images and push them to REGISTRY (environment; default: the local one)"
    )
    command.add_argument("--source", type=Path, default=PROJECT_ROOT, help="the source tree (default: this one)")
    command.add_argument("--release", help="a version of releases.toml, built from its commit instead of a source tree")
    commands.add_parser("record", help="print the entry of releases.toml for the commit that is checked out")
    command = commands.add_parser("release", help="write everything that users of this tree's release get")
    command.add_argument("--out", type=Path, default=PROJECT_ROOT / "dist", help="folder, which is replaced (dist)")
    commands.add_parser("contracts", help="compare protos and CRDs with those of each recorded release")
    command = commands.add_parser("tag", help="print the tag that `images` gives to this source tree")
    command.add_argument("--source", type=Path, default=PROJECT_ROOT, help="the source tree (default: this one)")
    client = commands.add_parser("client", help="build a client and link it to build/cluster/bin")
    client.add_argument("name", choices=sorted(clients.CLIENTS))
    command = commands.add_parser("node", help="kill a node, or start it again")
    command.add_argument("act", choices=("kill", "start"))
    command.add_argument("number", type=int, help="the node's number, from 1")
    command = commands.add_parser("exec", help="run a command inside a node")
    command.add_argument("number", type=int, help="the node's number, from 1")
    command.add_argument("argv", nargs=argparse.REMAINDER, help="the command")
    command = commands.add_parser("console", help="show a guest's serial console (cluster: KUBECONFIG, else this one)")
    command.add_argument("namespace")
    command.add_argument("name")
    command.add_argument("--for-seconds", type=float, default=60.0, help="how long at most (default: 60)")
    command.add_argument("--until", default="", help="end when this text is seen, and fail when it is not")
    return top


@contextmanager
def locked(cluster: Cluster, name: str) -> Iterator[None]:
    """Hold the machine-wide lock; a second command waits."""
    cluster.cache.mkdir(parents=True, exist_ok=True)
    with (cluster.cache / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another command on this cluster to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(options: argparse.Namespace) -> int:
    cluster = Cluster.load(options.nodes if options.command == "up" else None)
    if options.command == "status":
        return 0 if up.status(cluster) else 1
    if options.command == "exec":
        return subprocess.run(node.exec_argv(cluster, options.number, options.argv), check=False).returncode
    if options.command == "console":
        from localcluster import console  # needs aiohttp, unlike the other commands

        kubeconfig = Path(os.environ.get("KUBECONFIG") or cluster.kubeconfig)
        limit = options.for_seconds
        return asyncio.run(console.show(kubeconfig, options.namespace, options.name, limit, options.until))
    if options.command in ("tag", "images", "release", "record", "contracts"):
        run_builds(cluster, options)
        return 0
    with locked(cluster, "cluster"):
        cluster = Cluster.load(options.nodes if options.command == "up" else None)  # the existing cluster
        if options.command == "up":
            up.up(cluster)
        elif options.command == "down":
            teardown.down(cluster)
        elif options.command == "client":
            say(str(clients.ensure_link(clients.CLIENTS[options.name], cluster)))
        elif options.command == "kill":
            teardown.kill(cluster)
        elif options.act == "kill":
            node.kill(cluster, cluster.node(options.number))
        else:
            node.start(cluster, cluster.node(options.number), kube_binary.ensure(cluster))
    return 0


def run_builds(cluster: Cluster, options: argparse.Namespace) -> None:
    if options.command == "tag":
        print(os.environ.get("TAG") or source_tag.source_tag(options.source.resolve(), base_image.launcher_suite()))
    elif options.command == "contracts":
        from localcluster.releases import contracts  # needs protobuf, unlike the other commands

        contracts.check(recorded.releases())
    elif options.command == "record":
        print(record.entry(cluster, os.environ.get("REGISTRY") or cluster.registry))
        print(f"\nand in {record.KNOWN_FILE}:\n{record.known_with_this()}", file=sys.stderr)
    else:
        with locked(cluster, "images"):
            if options.command == "release":
                dist.write(cluster, options.out.absolute())
            elif options.release:
                build.provide(cluster, recorded.release(options.release))
            else:
                images.images(cluster, options.source.resolve())


def main() -> int:
    try:
        return run(parser().parse_args())
    except PartFailed as failure:
        print(f"failed: {failure}", file=sys.stderr)
        for line in failure.log_end():
            print(f"  {line}", file=sys.stderr)
        if failure.log:
            print(f"the whole log: {failure.log}", file=sys.stderr)
    except (BadSetting, TimeoutError) as error:
        print(f"failed: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
