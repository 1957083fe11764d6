"""What came of the calls, as tables in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Outcomes = Mapping[str, Sequence[str]]
"""Of one RPC, by kind of message (client.py)."""

Matrix = Mapping[tuple[str, str], Mapping[str, Outcomes]]
"""By caller and server, then by component and RPC."""

_HEAD = """# Which releases talk to each other

Made by a test (`tests/integration/skew`), which compares it: processes of each release's own code, each contract, each
direction; `make test-all` does the same with the releases' images. Launchers have a double of the hypervisor.
`python -m tests.support.skew.matrix` writes this page again. "next" is a generated next release with one field more
(`Machine.note`, feature `machine-note`).

Each RPC is called with every field that the caller's release knows, with the newest value of each enum, and with the
message that is usually sent. A cell is the result at the server of that release:

| cell | meaning |
|---|---|
| works | the method did what was asked |
| answers | the method refused this message for a reason of its own, for example because there is no such guest |
| lacks it | the server does not have the RPC; the caller gets UNSUPPORTED_BY_PEER |
| refuses `path` | the caller does not send a message with that field, whose feature the server lacks |

If a message is sent although its caller should refuse it, the server refuses it, with the path to the field's number.
The same message without the field works.
"""


def broken(matrix: Matrix) -> list[str]:
    """Outcomes that no call may have, with who called whom."""
    return [
        f"{caller} calls {rpc} of {server}: {kind}: {outcome}"
        for (caller, server), rpcs in matrix.items()
        for rpc, outcomes in rpcs.items()
        for kind, several in outcomes.items()
        for outcome in several
        if outcome.startswith("broken") or outcome == "refused "
    ]


def cell(outcomes: Outcomes) -> str:
    """What came of one RPC between two releases."""
    every = [*outcomes.get("full", ()), *outcomes.get("usual", ())]
    paths = sorted({outcome.removeprefix("refused ") for outcome in every if outcome.startswith("refused ")})
    if paths:
        return "refuses " + ", ".join(f"`{path}`" for path in paths)
    if "lacks" in every:
        return "lacks it"
    return "works" if "works" in every else "answers"


def page(matrix: Matrix) -> str:
    """The document."""
    servers = list(dict.fromkeys(server for _, server in matrix))
    contracts: dict[str, list[str]] = {}
    for rpc in dict.fromkeys(rpc for rpcs in matrix.values() for rpc in rpcs):
        contracts.setdefault(rpc.partition(" ")[2].partition("/")[0].rpartition(".")[0], []).append(rpc)
    lines = [_HEAD]
    for contract, rpcs in sorted(contracts.items()):
        lines += [
            f"## {contract}",
            "",
            f"| RPC | called by | {' | '.join(servers)} |",
            "|---|---|" + "---|" * len(servers),
        ]
        lines += [line for rpc in sorted(rpcs) for line in _rows(matrix, rpc, servers)]
        lines.append("")
    return "\n".join(lines)


def _rows(matrix: Matrix, rpc: str, servers: Sequence[str]) -> Iterator[str]:
    """One for all callers to whom the same happens."""
    same: dict[tuple[str, ...], list[str]] = {}
    for caller in dict.fromkeys(caller for caller, _ in matrix):
        found = [matrix[caller, server].get(rpc) for server in servers]
        cells = tuple(cell(outcomes) for outcomes in found if outcomes is not None)
        if cells:
            same.setdefault(cells, []).append(caller)
    component, _, name = rpc.partition(" ")
    service, _, method = name.rpartition(".")[2].partition("/")
    shown = f"{method} ({component})" if service == "InfoService" else method
    for cells, callers in same.items():
        yield f"| {shown} | {', '.join(callers)} | {' | '.join(cells)} |"
