"""A Prometheus that runs as a process of this machine, and what it answers."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.support.patience import PATIENCE
from tests.support.probes import free_port
from tests.support.prometheus_package import program

_READY = "Server is ready to receive web requests"


@dataclass(frozen=True, slots=True)
class Sample:
    """A series and its value."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its API."""

    url: str

    def ask(self, path: str, **parameters: Any) -> Any:
        """The data of an answer."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Sample]:
        """A vector, or a scalar as a series without labels."""
        found = self.ask("query", query=expression)
        if found["resultType"] == "scalar":
            return [Sample({}, float(found["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in found["result"]]

    def value(self, expression: str, default: float = -1.0) -> float:
        """Of the only series; the default if there is none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression}: {found}"
        return found[0].value if found else default

    def targets(self, job: str) -> list[dict[str, Any]]:
        """What it scrapes for a job of the configuration."""
        active = self.ask("targets", state="active")["activeTargets"]
        return [target for target in active if target["scrapePool"] == job]

    def types(self) -> dict[str, set[str]]:
        """By metric the types that targets give it."""
        return {name: {entry["type"] for entry in entries} for name, entries in self.ask("metadata").items()}

    def firing(self) -> set[str]:
        """The alerts that are raised now."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}


@contextmanager
def running(folder: Path, configuration: dict[str, Any], rules: dict[str, Any]) -> Iterator[Prometheus]:
    """Until the end of the block. `folder` keeps its data, its log and the two files.

    Raises:
        AssertionError: it has refused the configuration; the message is its log.
    """
    rule_file = folder / "rules.yaml"
    rule_file.write_text(yaml.safe_dump(rules))
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump({**configuration, "rule_files": [str(rule_file)]}))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with subprocess.Popen([program("prometheus"), *options], stderr=subprocess.PIPE, text=True) as process:
        log = _Log(process, folder / "prometheus.log")
        try:
            log.await_ready()
            yield Prometheus(f"http://{address}")
        finally:
            process.terminate()
            log.join()


class _Log(threading.Thread):
    """What the process writes, read as it comes."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        super().__init__(name=file.name)
        assert process.stderr is not None
        self._stream, self._file = process.stderr, file
        self._is_ready = False
        self._known = threading.Event()
        self.start()

    def run(self) -> None:
        with self._file.open("w") as file:
            for line in self._stream:
                file.write(line)
                file.flush()
                if _READY in line:
                    self._is_ready = True
                    self._known.set()
        self._known.set()

    def await_ready(self) -> None:
        """Until it has said that it is ready, or has ended."""
        assert self._known.wait(PATIENCE) and self._is_ready, self._file.read_text()
