"""The image in a claim of mode Filesystem, made usable for the launcher's user. Called by machines/pod.py.

A volume's folder often belongs to root, as a hostPath's does, and the launcher is user 107 without capabilities. As in
KubeVirt, the handler then makes disk.img. It tries as user 107 first, because a server of NFS may take root for nobody
(root squash). The volume is the guest's side and may be shared with others: no link is followed, nothing but disk.img
is touched, and nothing is opened as root that somebody else made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from virt_handler.launchers.hostile_steps import opened, opened_inside

_MODE = 0o660  # the pod's fsGroup may write, as in KubeVirt
_NEW_MODE = 0o600  # until the image has its size
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAST_SHARE = 0.9  # of the size, if the volume has less room: KubeVirt's pvcTolerateLessSpaceUpToPercent is 10
_BLOCK = 4096  # sizes are multiples of it: QEMU opens images without the page cache
_SYS_SETGROUPS = 116  # x86-64; glibc's setgroups changes every thread of the process
_libc = ctypes.CDLL(None, use_errno=True)
_DENIED = (errno.EACCES, errno.EPERM)


class UnusableImage(Exception):
    """The launcher cannot use disk.img until somebody changes the volume. The message follows the claim's name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the launcher needs."""

    path: str
    """Of the image in the launcher's container."""

    size: int
    """In bytes, with which a missing image is made; 0: it must be there."""

    writes: bool
    """Whether the guest may write to it."""


def provide(root: int, wanted: Wanted, user: int) -> None:
    """Have an image that `user` can open. Legal only in a thread of its own, whose user is changed meanwhile.

    Args:
        root: a descriptor of the launcher's root folder.

    Raises:
        UnusableImage: there is none, and why.
    """
    folder_path, name = os.path.split(wanted.path)
    volumes, volume = os.path.split(folder_path)
    try:
        with opened_inside(root, volumes) as parent, opened(parent, volume) as folder:
            if wanted.size:
                _make_if_missing(folder, name, wanted.size, user)
            _check(folder, name, wanted, user)
    except OSError as error:
        raise UnusableImage(f"{name} cannot be prepared: {error.strerror or error}") from error


def _make_if_missing(folder: int, name: str, size: int, user: int) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        if _half_made(found, user):
            _complete(folder, name, size, user)
        return
    size = _fitting(folder, name, size)
    try:
        image = _new(folder, name, user)
    except FileExistsError:
        return  # another pod that shares the claim was faster
    try:
        os.ftruncate(image, size)
        os.fchmod(image, _MODE)
        if os.fstat(image).st_uid != user:
            os.fchown(image, user, user)
    except OSError as error:
        # Ours and without content. Left there, it would be in the way once the volume allows more.
        os.unlink(name, dir_fd=folder)
        if error.errno in _DENIED:
            raise UnusableImage(_cannot_make(folder, name, user)) from error
        raise
    finally:
        os.close(image)


def _half_made(found: os.stat_result, user: int) -> bool:
    """Whether a handler ended between the file's creation and its size; the mode changes after the size."""
    ours = stat.S_ISREG(found.st_mode) and found.st_uid in (0, user) and found.st_nlink == 1
    return ours and found.st_size == 0 and stat.S_IMODE(found.st_mode) == _NEW_MODE


def _complete(folder: int, name: str, size: int, user: int) -> None:
    """Give a half-made image its size, as `user`: root opens nothing that exists."""
    size = _fitting(folder, name, size)
    entry = os.open(name, _ENTRY, dir_fd=folder)
    try:
        found = os.fstat(entry)
        if found.st_uid == 0 and _half_made(found, user):
            _hand_over(entry, user)
    finally:
        os.close(entry)
    with _acting_as(user):
        try:
            image = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError as error:
            if error.errno not in (*_DENIED, errno.EROFS):
                raise
            return  # _check says why
        try:
            if _half_made(os.fstat(image), user):
                os.ftruncate(image, size)
                os.fchmod(image, _MODE)
        finally:
            os.close(image)


def _new(folder: int, name: str, user: int) -> int:
    for owner in (user, 0):
        try:
            with _acting_as(owner):
                return os.open(name, _NEW, _NEW_MODE, dir_fd=folder)
        except OSError as error:
            if error.errno == errno.EROFS:
                raise UnusableImage(f"has no {name}, and its volume is read-only: use a volume with one") from error
            if error.errno not in _DENIED:
                raise
    raise UnusableImage(_cannot_make(folder, name, user))


def _fitting(folder: int, name: str, size: int) -> int:
    """The size, or somewhat less where the volume is somewhat smaller than its claim says."""
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    if size <= free:
        return size
    if free < size * _LEAST_SHARE:
        raise UnusableImage(f"has no {name}, which needs {size} bytes: {free} are free in its volume")
    return free // _BLOCK * _BLOCK


def _check(folder: int, name: str, wanted: Wanted, user: int) -> None:
    """That the image can be opened; one that root left there becomes the user's, as in KubeVirt."""
    try:
        image = os.open(name, _ENTRY, dir_fd=folder)
    except FileNotFoundError:
        raise UnusableImage(f"has no {name}, and the volume may only be read: use a claim with one") from None
    try:
        found = os.fstat(image)
        if stat.S_ISLNK(found.st_mode):
            raise UnusableImage(f"has a symbolic link as {name}, use a regular file")
        if not stat.S_ISREG(found.st_mode):
            raise UnusableImage(f"has a {name} that is not a regular file, use a regular file")
        if _can_open(folder, name, wanted, user):
            return
        # A file with a second name may be anybody's, linked here to be taken from its owner.
        if found.st_uid == 0 and found.st_nlink == 1:
            _hand_over(image, user)
        if not _can_open(folder, name, wanted, user):
            raise UnusableImage(_cannot_open(folder, name, os.fstat(image), wanted, user))
    finally:
        os.close(image)


def _hand_over(image: int, user: int) -> None:
    try:
        os.chown(f"/proc/self/fd/{image}", user, -1)
    except OSError as error:
        if error.errno not in (*_DENIED, errno.EROFS):
            raise


def _can_open(folder: int, name: str, wanted: Wanted, user: int) -> bool:
    flags = (os.O_RDWR if wanted.writes else os.O_RDONLY) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _acting_as(user):
        try:
            os.close(os.open(name, flags, dir_fd=folder))
        except OSError as error:
            if error.errno not in (*_DENIED, errno.EROFS):
                raise
            return False
    return True


@contextmanager
def _acting_as(user: int) -> Iterator[None]:
    """This thread's requests to file systems are `user`'s, without groups and capabilities; 0 changes nothing."""
    if not user:
        yield
        return
    groups = os.getgroups()
    try:
        _become(user, [user])
        yield
    finally:
        _become(0, groups)


def _become(user: int, groups: list[int]) -> None:
    """Change the thread; the kernel takes and returns the capabilities on files with the user."""
    _libc.setfsuid(0)
    array = (ctypes.c_uint32 * len(groups))(*groups)
    if _libc.syscall(_SYS_SETGROUPS, len(groups), array) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _libc.setfsgid(user)
    _libc.setfsuid(user)
    if _libc.setfsuid(-1) != user:  # -1 is refused, and the answer is the current one: setfsuid(2)
        raise OSError(errno.EPERM, "the thread's user cannot be changed")


def _cannot_make(folder: int, name: str, user: int) -> str:
    ways = f"let user {user} write to it, or switch root squash off if the volume is of NFS"
    return f"has no {name}, and neither user {user} nor root can make it: its folder {_owner(folder)}; {ways}"


def _cannot_open(folder: int, name: str, found: os.stat_result, wanted: Wanted, user: int) -> str:
    access = "read and write" if wanted.writes else "read"
    if found.st_uid == user and found.st_mode & stat.S_IRUSR:
        return f"has a {name} that user {user} cannot {access}: its folder {_owner(folder)}, let user {user} enter it"
    owner = f"belongs to user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}"
    return f"has a {name} that {owner}, use one that user {user} can {access}"


def _owner(folder: int) -> str:
    found = os.fstat(folder)
    return f"belongs to user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}"
