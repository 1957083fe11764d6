"""Of libvirt's log of a QEMU that died, what QEMU itself wrote last."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt_launcher.domain.last_words import last_words, words_in

STARTED = """\
2026-11-28 10:14:03.847+0000: starting up libvirt version: 11.3.0, package: 11.3.0-3 (Debian), qemu version: 10.0.2
LC_ALL=C \\
HOME=/var/run/kubevirt-private \\
/usr/bin/qemu-system-x86_64 \\
-name guest=default_demo,debug-threads=on \\
-device '{"driver":"pvpanic"}' \\
-msg timestamp=on
"""
WARNED = """\
char device redirected to /dev/pts/0 (label charserial0)
2026-11-28T10:14:04.000001Z qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.vmx
"""
ASSERTED = "iotlb_to_section: Assertion `section_index < d->map.sections_nb' failed."
ENDED = "2026-11-28 10:14:05.100+0000: shutting down, reason=crashed\n"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", ""),
        (WARNED, ""),
        (f"qemu-system-x86_64: ../../system/physmem.c:2671: {ASSERTED}\n", f"../../system/physmem.c:2671: {ASSERTED}"),
        ("2026-11-28T10:14:05.000001Z qemu-system-x86_64: cannot set up guest memory\n", "cannot set up guest memory"),
        ("free(): invalid pointer\nAborted\n", "free(): invalid pointer; Aborted"),
        ("first\nsecond\n\n  \nthird\nfourth\n", "third; fourth"),
        ("a guest's \x1b[31mcolours\x00\r\u202e\n", "a guest's  [31mcolours"),
        ("x" * 199 + "\n" + "y" * 201 + "\n", "x" * 199 + "; " + "y" * 200),
    ],
)
@pytest.mark.parametrize("ended", ["", ENDED])
def test_only_what_qemu_wrote_after_its_command_is_kept(written: str, words: str, ended: str) -> None:
    assert words_in(STARTED + written + ended) == words_in(written + ended) == words


def test_the_end_of_a_log_is_read_however_long_it_is(tmp_path: Path) -> None:
    log = tmp_path / "default_demo.log"
    log.write_bytes(STARTED.encode() + b"\xff noise\n" * 100_000 + b"the end\n" + ENDED.encode())
    assert last_words(log) == "\ufffd noise; the end"


def test_a_log_that_cannot_be_read_has_no_words(tmp_path: Path) -> None:
    assert last_words(tmp_path / "none.log") == ""
    assert last_words(tmp_path) == ""
