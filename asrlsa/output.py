"""Writing results so that no run can spoil another's: whole files or none, one run at a time for each recording."""

from __future__ import annotations

import datetime
import errno
import hashlib
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from asrlsa.errors import OutputError

_OWN = ".asrlsa-"  # every file that asrlsa puts beside a result for a while begins so
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def write_atomic(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 so that ``path`` holds either the old file or the whole new one.

    The text goes to a file beside ``path`` first, is flushed to the disk, and takes its place in one step. A file that
    is replaced keeps its permissions; a link is followed.

    Raises:
        OutputError: It can't be written; the old file is as it was.
    """
    with atomic_writer(path) as file:
        file.write(text)


@contextmanager
def atomic_writer(path: Path) -> Iterator[TextIO]:
    """Write a text of any length as `write_atomic` does, piece by piece, without holding it in memory.

    Where the context ends with an error, also an interruption, the old file is as it was.

    Yields:
        A file to write to: UTF-8, LF.

    Raises:
        OutputError: It can't be written; the old file is as it was.
    """
    try:
        with whole_file(path) as beside, beside.open("x", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except UnicodeEncodeError as error:
        raise OutputError(f"{path}: can't be written as UTF-8 (character {error.start + 1} is half a pair)") from None


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Let a file of any kind be written whole or not at all.

    Where the context ends with an error, also an interruption, the old file is as it was. A file that is replaced keeps
    its permissions; a link is followed.

    Yields:
        Where to write it, beside ``path``; there is no file yet.

    Raises:
        OutputError: It can't be written; the old file is as it was.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f"{_key(target)}-{secrets.token_hex(4)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o7777 if target.exists() else None
        if mode is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is write-protected")
        yield beside
        if mode is not None:
            beside.chmod(mode)
        beside.replace(target)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({_reason(error)}); {_advice(error)}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold the right to write ``path`` (and other formats of the same stem) while the context lasts.

    A lock of the operating system on a hidden file beside ``path`` is used. It ends with the process, however that
    ends, so a killed run never blocks the next one. What a killed run left half-written is removed. Where a file
    system has no locks (some network drives), the claim always succeeds: two runs may then do the same recording
    twice, but `write_atomic` still keeps every file whole.

    Args:
        path: The result that will be written; its folder is created.

    Yields:
        True where this run may write, False where another run holds the claim.

    Raises:
        OutputError: The folder can't be written.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f"{_key(target)}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        held, has_locks = _lock(lock)
    except OSError as error:
        raise OutputError(f"{target.parent}: can't be written ({_reason(error)}); {_advice(error)}") from None
    if held is None:
        yield False
        return
    try:
        if has_locks:
            _sweep(target)
        yield True
    finally:
        _release(lock, held)


def tidy(path: Path) -> None:
    """Remove what a run left that was killed right after it wrote ``path``, when nobody will claim it again."""
    target = Path(os.path.realpath(path))
    if target.with_name(f"{_key(target)}.lock").exists():
        with suppress(OutputError), claim(path):
            pass


def append_error(log: Path, recording: Path, message: str) -> bool:
    """Add one line to the error log: local time, recording and message, separated by tabs.

    Args:
        log: The log, created where it is not there yet.
        recording: The recording that failed.
        message: Why; a leading path of the recording is left out, line breaks become spaces.

    Returns:
        False where the log can't be written; a run does not end because of that.
    """
    why = " ".join(message.removeprefix(f"{recording}:").split())
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    name = " ".join(str(recording).split("\n"))
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(f"{now}\t{name}\t{why}\n")
    except OSError:
        return False
    return True


def _key(target: Path) -> str:
    """Name beside ``target``, the same for all formats of a stem; short, as a stem may fill the longest name."""
    return _OWN + hashlib.sha256(os.fsencode(target.stem)).hexdigest()[:16]


def _lock(lock: Path) -> tuple[int | None, bool]:
    """Open and lock; (None, True) where another process holds it; second value: whether locks work here."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock_handle(handle)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return handle, False
            os.close(handle)
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return None, True
            raise
        # The holder before may have removed the name between our open and our lock.
        if _is_named(handle, lock):
            with suppress(OSError):  # for people who find the file; the lock does not need it
                os.truncate(handle, 0)
                os.write(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
            return handle, True
        os.close(handle)


def _is_named(handle: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), lock.stat())
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # beyond the text, so that it stays readable

    def _lock_handle(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

    def _release(lock: Path, handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
        os.close(handle)
        # Refused while another run has it open; that run removes it then.
        with suppress(OSError):
            lock.unlink(missing_ok=True)

else:
    import fcntl

    def _lock_handle(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(lock: Path, handle: int) -> None:
        # The name goes before the lock, so that nobody locks a file that is about to lose its name.
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(handle)


def _sweep(target: Path) -> None:
    """Remove what killed runs left of this stem; only its holder of the claim writes such files."""
    for left in target.parent.glob(f"{_key(target)}-*.tmp"):
        with suppress(OSError):
            left.unlink()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()


def _advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some disk space"
    if error.errno == errno.ENAMETOOLONG:
        return "give the recording a shorter name"
    if sys.platform == "win32" and error.errno == errno.EACCES:
        return "close the file in other programs, or write elsewhere with -o"
    return "write elsewhere with -o, or change the permissions"
