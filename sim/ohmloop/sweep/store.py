"""The folder of a sweep: what sweep it is, and the results of the tasks that are done.

::

    sweep.json          what was asked for, and the digest of all tasks
    tasks/KEY.json      the chips of one task; KEY is a digest of all that they depend on
    tasks/KEY.json.part being written

A file gets its name only when it is complete, so whatever ends the program leaves nothing half-written behind. What is
damaged later is found by the digest in the file, and computed again.
"""

import fcntl
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ohmloop.errors import InputError
from ohmloop.sweep.measure import Measured
from ohmloop.sweep.point import Point

MANIFEST, TASKS, PART = "sweep.json", "tasks", ".part"


@dataclass(frozen=True, eq=False)
class Task:
    """Chips ``first`` to ``first + count - 1`` of a point."""

    point: Point
    first: int
    count: int

    @property
    def key(self) -> str:
        """Name of its results: 32 hexadecimal digits."""
        return _digest([self.point.key, self.first, self.count])[:32]


class Store:
    """The results of one sweep in a folder, held by one process at a time.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    asked : str
        The sweep in words, for whoever finds the folder.
    version : str
        Of the code.
    keys : list of str
        Of all tasks, in order.

    Members
    -------
    damaged : int
        Files that could not be used and were removed.

    Errors: :class:`InputError` when the folder holds another sweep or another process is at work in it.
    """

    def __init__(self, folder: Path, asked: str, version: str, keys: list[str]):
        self.folder, self.damaged = folder, 0
        self._tasks = folder / TASKS
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise InputError(f"{folder}: another process is at work on this sweep") from None
        try:
            self._claim({"asked": asked, "version": version, "tasks": _digest(keys)})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other processes have the folder."""
        os.close(self._lock)

    def load(self, key: str, count: int) -> Measured | None:
        """The result of a task of ``count`` chips; None when it has to be computed."""
        path = self._path(key)
        try:
            content = json.loads(path.read_bytes())
            result = content["result"]
            if content["task"] == key and content["digest"] == _digest(result):
                columns: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                           for name, value in result.items()}
                measured = Measured(**columns)
                if measured.refused or len(measured.outcome) == count:
                    return measured
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            pass
        path.unlink()
        self.damaged += 1
        return None

    def save(self, key: str, measured: Measured) -> None:
        """Keep the result of a task."""
        result = json.loads(json.dumps(asdict(measured)))
        write_whole(self._path(key), json.dumps({"task": key, "digest": _digest(result), "result": result}).encode())

    def _path(self, key: str) -> Path:
        return self._tasks / f"{key}.json"

    def _claim(self, manifest: dict[str, str]) -> None:
        """Take the folder for this sweep, unless there are results of another."""
        path = self.folder / MANIFEST
        if path.exists() and any(self._tasks.glob("*.json")):
            try:
                there = json.loads(path.read_bytes())
                asked, version, tasks = there["asked"], there["version"], there["tasks"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path}: is damaged; remove the folder, or choose another --out") from None
            if version != manifest["version"]:
                raise InputError(f"{self.folder}: holds a sweep of another version of the program; choose another "
                                 "--out, or remove the folder")
            if tasks != manifest["tasks"]:
                raise InputError(f"{self.folder}: holds another sweep ({asked}); choose another --out, or remove the "
                                 "folder")
        self._tasks.mkdir(exist_ok=True)
        for left in self._tasks.glob(f"*{PART}"):
            left.unlink()
        write_whole(path, (json.dumps(manifest, indent=2) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all."""
    part = path.with_name(path.name + PART)
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
