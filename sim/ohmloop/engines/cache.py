"""Folders of build products, named by the content they were built from and shared by processes.

A folder counts only when its stamp is there, and the stamp is written last: an interrupted build is built again.
Whoever uses a folder holds a shared lock on it, whoever builds or removes it an exclusive one; the locks go with the
process that holds them, however it ends.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STAMP = "complete"
KEEP = 24
_KEY_LENGTH = 16


def digest(*parts: str | bytes | Path) -> str:
    """A short key of all parts in order; of a path the name and the content count, not the folder."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.name.encode() + b"\0" + part.read_bytes()
        else:
            content = part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:_KEY_LENGTH]


@contextmanager
def exclusive(root: Path, name: str) -> Iterator[None]:
    """Holds the lock ``name`` of ``root`` against every other process and thread."""
    with _lock_file(root, name) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def cached_build(root: Path, name: str, key: str, build: Callable[[Path], None]) -> Iterator[Path]:
    """The folder ``root/name-key``, filled once by ``build(folder)``; it stays as long as the caller is inside.

    Of one ``name``, the :data:`KEEP` folders used last are kept. What ``build`` raises passes through and leaves its
    folder for a look; the next call starts it afresh.
    """
    folder = root / f"{name}-{key}"
    stamp = folder / STAMP
    with _lock_file(root, folder.name) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not stamp.exists():
            # Going from shared to exclusive lets go in between: another process may build or prune, so look again.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                build(folder)
                stamp.touch()
                prune(root, name, KEEP)
            fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(stamp)
        yield folder


@contextmanager
def _lock_file(root: Path, name: str) -> Iterator[int]:
    folder = root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        yield lock
    finally:
        os.close(lock)


def prune(root: Path, name: str, keep: int):
    """Removes the folders ``root/name-<key>`` but for the ``keep`` used last and those that somebody has locked."""
    folders = [path for path in root.glob(f"{name}-{'?' * _KEY_LENGTH}") if path.is_dir()]
    for folder in sorted(folders, key=_last_used, reverse=True)[keep:]:
        with _lock_file(root, folder.name) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _last_used(folder: Path) -> float:
    stamp = folder / STAMP
    try:
        return (stamp if stamp.exists() else folder).stat().st_mtime
    except FileNotFoundError:
        return 0.0
