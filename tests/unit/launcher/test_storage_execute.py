"""Helper programs that fail: once is no end of a machine, and the whole reason is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt_launcher.storage.actions import Action, CheckQcow2, MakeEmpty, MakeIso
from virt_launcher.storage.execute import execute
from virt_launcher.storage.image_header import UnusableImage
from virt_launcher.storage.programs import Programs

LONG = "; ".join(f"xorriso : NOTE : line {number} of what it has to say" for number in range(40))


class Helper:
    """A program that writes its output file and ends well, or that fails as often as it is to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.programs = Programs(str(folder / "qemu-img"), str(folder / "xorriso"))
        self.runs = folder / "runs"
        self.runs.touch()

    def fails(self, how: str, *, times: int) -> None:
        """`how` is a line of shell."""
        for program in (self.programs.qemu_img, self.programs.xorriso):
            # The last argument that ends in .part is what is made.
            script = f"""#!/bin/sh
echo run >> {self.runs}
[ $(wc -l < {self.runs}) -gt {times} ] || {{ {how}; }}
for argument in "$@"; do case "$argument" in *.part) echo made > "$argument";; esac; done
"""
            Path(program).write_text(script)
            Path(program).chmod(0o755)

    @property
    def run_count(self) -> int:
        return len(self.runs.read_text().splitlines())


@pytest.fixture
def helper(tmp_path: Path) -> Helper:
    return Helper(tmp_path)


def iso(folder: Path) -> MakeIso:
    return MakeIso(str(folder / "cloudinit.iso"), "cidata", {"user-data": b"#cloud-config"})


def makers(folder: Path) -> dict[str, Action]:
    return {"iso": iso(folder), "qcow2": MakeEmpty(str(folder / "scratch.qcow2"), 1 << 20)}


@pytest.mark.parametrize("kind", ["iso", "qcow2"])
@pytest.mark.parametrize("how", ["exit 5", "kill -KILL $$"])
async def test_a_program_that_fails_once_is_repeated(helper: Helper, tmp_path: Path, kind: str, how: str) -> None:
    helper.fails(how, times=1)
    action = makers(tmp_path)[kind]
    await execute(action, helper.programs)
    assert Path(getattr(action, "path")).read_text() == "made\n"  # noqa: B009 - of either kind
    assert helper.run_count == 2
    assert not list(tmp_path.glob("*.part"))


async def test_a_program_that_fails_twice_is_reported_with_all_that_it_wrote(helper: Helper, tmp_path: Path) -> None:
    lines = LONG.replace("; ", "\\n")
    helper.fails(f"printf '{lines}\\nxorriso : ABORT : Program done\\n' >&2; exit 5", times=2)
    with pytest.raises(UnusableImage) as refused:
        await execute(iso(tmp_path), helper.programs)
    expected = f"cannot be made: xorriso ended with status 5: {LONG}; xorriso : ABORT : Program done"
    assert str(refused.value) == expected
    assert helper.run_count == 2


async def test_a_program_that_is_killed_is_reported_with_the_signal(helper: Helper, tmp_path: Path) -> None:
    helper.fails("echo 'reading' >&2; kill -ABRT $$", times=2)
    with pytest.raises(UnusableImage, match=r"^cannot be made: xorriso was ended by SIGABRT: reading$"):
        await execute(iso(tmp_path), helper.programs)
    with pytest.raises(UnusableImage, match=r"^cannot be checked: qemu-img was ended by SIGABRT: reading$"):
        helper.runs.write_text("")
        await execute(CheckQcow2("/image"), helper.programs)


async def test_a_corrupt_image_is_not_read_twice(helper: Helper) -> None:
    helper.fails("echo 'ERROR cluster 5 refcount=0' >&2; echo '1 errors were found' >&2; exit 2", times=9)
    with pytest.raises(UnusableImage, match=r"corrupt qcow2: ERROR cluster 5 refcount=0; 1 errors were found$"):
        await execute(CheckQcow2("/image"), helper.programs)
    assert helper.run_count == 1


async def test_leaked_clusters_are_harmless(helper: Helper) -> None:
    helper.fails("exit 3", times=9)
    await execute(CheckQcow2("/image"), helper.programs)


async def test_output_is_bounded_and_printable(helper: Helper, tmp_path: Path) -> None:
    helper.fails("printf '\\033[31mred' >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", times=9)
    with pytest.raises(UnusableImage) as refused:
        await execute(iso(tmp_path), helper.programs)
    assert "?[31mred" in str(refused.value)
    assert len(str(refused.value)) < 20_000
