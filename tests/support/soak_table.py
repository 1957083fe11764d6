"""The soak's report: what was done, which processes grew, what was left. Pure; the text of build/soak.md.

Called by test_soak.py, each minute and at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.flatness import YOUNGEST, Judgement, Sample, judged
from tests.support.snapshots import Snapshot

_QEMU = "qemu-system"
"""Its memory is the guest's, who touches more of it the longer he runs."""

Lives = Mapping[str, Sequence[Sequence[Sample]]]
"""The samples of each process by its kind: "virt-handler: virt_handler"."""


@dataclass(slots=True)
class Report:
    """What is known so far."""

    title: str
    lives: Lives = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    renewals: Mapping[str, int] = field(default_factory=dict)
    """How many certificates each Secret has had."""

    before: Snapshot = field(default_factory=Snapshot)
    after: Snapshot | None = None

    @property
    def growing(self) -> list[str]:
        """Kinds of processes that are not flat."""
        return [
            f"{kind}: {judgement.limit.name} {judgement} an hour"
            for kind, processes in sorted(self.lives.items())
            for judgement in _judged(kind, processes)
            if not judgement.is_flat
        ]

    @property
    def differences(self) -> list[str]:
        """Of the last snapshot and the first."""
        return self.after.since(self.before) if self.after is not None else []

    def text(self) -> str:
        """Markdown."""
        done = ", ".join(f"{what} {count}" for what, count in sorted(self.done.items()))
        renewed = ", ".join(f"{name} {count}" for name, count in sorted(self.renewals.items()))
        parts = [f"# {self.title}", f"Done: {done}.", f"Certificates seen: {renewed}."]
        parts += ["## Failures", _listed(self.failures)]
        parts += ["## Processes", _WORDS, "\n".join(_processes(self.lives)), "Growing:", _listed(self.growing)]
        parts += ["## Left behind", "\n".join(_things(self.before, self.after)), _listed(self.differences)]
        return "\n\n".join(parts) + "\n"


_WORDS = (
    "By kind, over all processes of it: how many there were, how many were old enough to be judged "
    f"({YOUNGEST / 60:.0f} minutes) and the oldest one's age; of the oldest, first and last sample; growth an hour."
)
_HEAD = (
    "process",
    "processes",
    "judged",
    "oldest, min",
    "PSS, MiB",
    "anonymous, MiB",
    "an hour",
    "descriptors",
    "an hour",
    "threads",
    "an hour",
)


def _processes(lives: Lives) -> Iterable[str]:
    yield _row(_HEAD)
    yield _row(["---"] * len(_HEAD))
    for kind, processes in sorted(lives.items()):
        oldest = max(processes, key=lambda samples: samples[-1].age)
        first, last = oldest[0], oldest[-1]
        growth = {judgement.limit.name: judgement for judgement in judged(processes)}
        old_enough = sum(samples[-1].age >= YOUNGEST for samples in processes)
        yield _row(
            [
                kind,
                str(len(processes)),
                str(old_enough),
                f"{last.age / 60:.0f}",
                f"{first.pss:.1f} → {last.pss:.1f}",
                f"{first.anonymous:.1f} → {last.anonymous:.1f}",
                "the guest's" if _QEMU in kind else str(growth["anonymous MiB"]),
                f"{first.descriptors} → {last.descriptors}",
                str(growth["descriptors"]),
                f"{first.threads} → {last.threads}",
                str(growth["threads"]),
            ]
        )


def _judged(kind: str, processes: Sequence[Sequence[Sample]]) -> list[Judgement]:
    found = judged(processes)
    return [judgement for judgement in found if not (_QEMU in kind and "MiB" in judgement.limit.name)]


def _things(before: Snapshot, after: Snapshot | None) -> Iterable[str]:
    yield _row(["things", "before", "after"])
    yield _row(["---"] * 3)
    for kind in sorted(before.things):
        yield _row([kind, str(before.count(kind)), "?" if after is None else str(after.count(kind))])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "None."


def by_kind(series: Iterable[tuple[str, Sequence[Sample]]]) -> Lives:
    """Lives, from the kind and the samples of each process."""
    lives: defaultdict[str, list[Sequence[Sample]]] = defaultdict(list)
    for kind, samples in series:
        lives[kind].append(samples)
    return lives
