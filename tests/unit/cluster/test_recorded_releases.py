"""releases.toml: what a record may say, how a wrong one is refused, and that ours are true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from localcluster import debian_packages
from localcluster.progress import PartFailed
from localcluster.releases import record, recorded, tree
from localcluster.releases.recorded import Launcher, Release
from localcluster.settings import PROJECT_ROOT, BadSetting

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENTRY = f"""[[release]]
version = "0.1.0"
level = 1
commit = "{COMMIT}"
[release.launcher]
suite = "bookworm"
package-list = "sha256:{"0" * 64}"
[release.launcher.packages]
libvirt-daemon = "9.0.0-4"
qemu-system-x86 = "1:7.2+dfsg-7+b3"
seabios = "1.16.2-1"
ovmf = "2022.11-6"
"""


OURS = [release.version for release in recorded.releases()]


def written(folder: Path, text: str) -> Path:
    file = folder / "releases.toml"
    file.write_text(text)
    return file


def test_the_line_of_the_product_s_list_is_printed_with_the_entry() -> None:
    assert record.known(["0.1.0", "0.2.0"]) == 'RECORDED = ("0.1.0", "0.2.0")'
    assert record.known_with_this() == record.known([*OURS, (PROJECT_ROOT / "VERSION").read_text().strip()])
    assert record.known(OURS) in (PROJECT_ROOT / record.KNOWN_FILE).read_text().splitlines()


def test_a_record_is_read(tmp_path: Path) -> None:
    (release,) = recorded.releases(written(tmp_path, ENTRY))
    assert (release.version, release.level, release.commit) == ("0.1.0", 1, COMMIT)
    assert release.launcher.suite == "bookworm"
    assert release.launcher.packages["qemu-system-x86"] == "1:7.2+dfsg-7+b3"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"0.1.0"', '"0.1"', r"release[0].version: '0.1' is not allowed, use three numbers"),
        ('version = "0.1.0"', "", "release[0].version: is missing, use three numbers"),
        ("level = 1", "level = 0", "release[0].level: 0 is not allowed, use a number from 1 on"),
        ("level = 1", "level = true", "release[0].level: True is not allowed, use a number from 1 on"),
        (COMMIT, "3e94ed5", "release[0].commit: '3e94ed5' is not allowed, use 40 hexadecimal digits"),
        ('"bookworm"', '"sid"', "release[0].launcher.suite: 'sid' is not allowed, use bookworm or trixie"),
        ("sha256:", "md5:", 'use "sha256:" and 64 hexadecimal digits'),
        ('ovmf = "2022.11-6"', "", "release[0].launcher.packages.ovmf: is missing, use a version of a Debian package"),
        ('"9.0.0-4"', '"9 0"', "release[0].launcher.packages.libvirt-daemon: '9 0' is not allowed"),
        ("ovmf =", 'OVMF = "1"\novmf =', "release[0].launcher.packages: 'OVMF' is not allowed, use the name"),
        ("level =", "colour = 1\nlevel =", "release[0]: 'colour' is unknown, use version, level, commit, launcher"),
        ("[[release]]", "[release]", "release: {"),
        ("[[release]]", "releases = 1\n[[release]]", "releases.toml: 'releases' is unknown, use release"),
        ("level = 1", "level 1", "releases.toml: Expected '='"),
    ],
)
def test_a_wrong_field_is_refused_with_its_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ENTRY
    with pytest.raises(BadSetting, match=re.escape(message)):
        recorded.releases(written(tmp_path, ENTRY.replace(old, new, 1)))


def test_releases_are_in_order_and_levels_never_fall(tmp_path: Path) -> None:
    later = ENTRY.replace('"0.1.0"', '"0.2.0"')
    assert len(recorded.releases(written(tmp_path, ENTRY + later))) == 2
    with pytest.raises(
        BadSetting, match=r"release\[1\]\.version: '0\.1\.0' is not allowed, use a version above 0\.2\.0"
    ):
        recorded.releases(written(tmp_path, later + ENTRY))
    with pytest.raises(BadSetting, match=r"release\[1\]\.level: 1 is not allowed, use a number from 2 on"):
        recorded.releases(written(tmp_path, ENTRY.replace("level = 1", "level = 2") + later))


def test_a_release_that_is_not_recorded_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"RELEASE: '1\.0\.0' is not recorded in releases\.toml, use 0\.1\.0"):
        recorded.release("1.0.0", written(tmp_path, ENTRY))


def test_the_tag_follows_the_commit_and_the_launcher_s_packages(tmp_path: Path) -> None:
    texts = (ENTRY, ENTRY.replace(COMMIT, COMMIT[::-1]), ENTRY.replace("1.16.2-1", "1.16.2-2"))
    tags = {recorded.release("0.1.0", written(tmp_path, text)).tag for text in texts}
    assert len(tags) == 3 and all(re.fullmatch(r"0\.1\.0-[0-9a-f]{12}", tag) for tag in tags)


@pytest.mark.skipif(not tree.has_history(), reason="git's history is not here")
@pytest.mark.parametrize("release", recorded.releases(), ids=lambda release: release.version)
def test_our_records_are_true_of_their_commits(release: Release) -> None:
    assert tree.is_ancestor(release), f"{release.commit} is no ancestor of HEAD"
    source = tree.ensure(release)
    assert (source / "VERSION").read_text().strip() == release.version
    level = f"\nFEATURE_LEVEL = {release.level}\n"
    assert level in (source / "services/core/virt_core/release.py").read_text()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    for command in ("init -q", "config user.name n", "config user.email e@example.com"):
        subprocess.run(["git", "-C", str(folder), *command.split()], check=True)
    return folder


def committed(repository: Path, content: str) -> str:
    (repository / "code.py").write_text(content)
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    subprocess.run(["git", "-C", str(repository), "commit", "-qm", "x"], check=True)
    argv = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def of_commit(commit: str) -> Release:
    return Release("0.1.0", 1, commit, Launcher("bookworm", {}, ""))


def test_a_tree_has_its_commit_alone_and_is_renewed_when_the_record_changes(repository: Path, tmp_path: Path) -> None:
    first, second = committed(repository, "first"), committed(repository, "second")
    (repository / "code.py").write_text("changed since")
    (repository / "new.py").write_text("in no commit")
    folder = tmp_path / "releases"
    source = tree.ensure(of_commit(first), repository, folder)
    assert {path.name for path in source.iterdir()} == {"build", "code.py"}
    assert (source / "code.py").read_text() == "first"
    (source / "build" / "tag").write_text("made before")
    assert tree.ensure(of_commit(first), repository, folder) == source
    assert (source / "build" / "tag").exists(), "the same commit: what was made of it is kept"
    assert (tree.ensure(of_commit(second), repository, folder) / "code.py").read_text() == "second"
    assert not (source / "build" / "tag").exists()


def test_a_commit_that_git_lacks_is_named(repository: Path, tmp_path: Path) -> None:
    committed(repository, "first")
    with pytest.raises(PartFailed, match=rf"release 0\.1\.0: commit {COMMIT} cannot be read from git .*full clone"):
        tree.ensure(of_commit(COMMIT), repository, tmp_path / "releases")
    assert not tree.is_ancestor(of_commit(COMMIT), repository)


STATUS = """Package: qemu-system-x86
Status: install ok installed
Architecture: amd64
Source: qemu (1:7.2)
Version: 1:7.2+b3

Package: zlib1g
Status: install ok installed
Architecture: amd64
Source: zlib
Version: 1.2

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def test_packages_of_an_image_are_read_and_those_of_the_hypervisor_are_pinned(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    installed = debian_packages.installed(tmp_path)
    assert installed == {"qemu-system-x86": "1:7.2+b3", "zlib1g": "1.2"}
    assert debian_packages.pinned(tmp_path) == {"qemu-system-x86": "1:7.2+b3"}
    assert debian_packages.digest(installed) == debian_packages.digest(dict(reversed(installed.items())))


def test_a_package_that_is_served_no_more_is_named_with_both_versions() -> None:
    recorded_packages = {"ovmf": "1", "qemu-utils": "2", "seabios": "3"}
    assert debian_packages.differences(recorded_packages, {"ovmf": "1", "qemu-utils": "2.1"}) == [
        "qemu-utils: recorded is 2, available is 2.1",
        "seabios: recorded is 3, available is none",
    ]
    assert debian_packages.preferences({"ovmf": "1"}) == "Package: ovmf\nPin: version 1\nPin-Priority: 1001\n"
