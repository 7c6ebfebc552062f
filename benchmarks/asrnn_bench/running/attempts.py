"""Attempts: the processes that try a job, each with a number and a folder of its own."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from asrnn_bench.atomic import read_object, replace

EX_NO_INPUT = 66
EX_TERMINATED = 143

START_TOLERANCE_SECONDS = 2.0
"""How far two readings of a process's start may lie apart: the clock behind them ticks a hundred times a second."""


@dataclass(frozen=True)
class Attempt:
    """One process that tries a job: its number, which goes into the result, and its folder."""

    number: int
    path: Path

    def belongs_to(self, pid: int) -> bool:
        """Return whether the process ``pid`` of this host claimed it."""
        claim = read_object(self.path / "claim.json")
        return claim.get("host") == platform.node() and claim.get("pid") == pid

    def lives(self) -> bool:
        """Return whether its process runs; one on another host is believed."""
        claim = read_object(self.path / "claim.json")
        if claim.get("host") != platform.node():
            return bool(claim)
        try:
            started = psutil.Process(int(claim["pid"])).create_time()
        except (psutil.Error, KeyError, ValueError):
            return False
        return abs(started - float(claim.get("started", 0))) < START_TOLERANCE_SECONDS

    def ended(self) -> tuple[int, str] | None:
        """Return the return code and the reason of its end; ``None`` while it is not known to have ended."""
        said = read_object(self.path / "exit.json")
        return (int(said["returncode"]), str(said.get("reason"))) if "returncode" in said else None

    def write_end(self, returncode: int, reason: str | None) -> None:
        """Write how it ended, unless that is known already: the worker knows the reason, its parent the signal."""
        if not (self.path / "exit.json").exists():
            text = json.dumps({"returncode": returncode, "reason": reason}, indent=1, sort_keys=True)
            replace(self.path / "exit.json", text + "\n")


def claim_attempt(folder: Path) -> Attempt:
    """Take the next attempt below ``folder``; ``mkdir`` gives no other process the same number."""
    number = max((attempt.number for attempt in list_attempts(folder)), default=0) + 1
    while True:
        path = folder / f"{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            continue
        started = psutil.Process().create_time()
        claim = {"host": platform.node(), "pid": os.getpid(), "started": started}
        replace(path / "claim.json", json.dumps(claim, sort_keys=True) + "\n")
        return Attempt(number, path)


def list_attempts(folder: Path) -> list[Attempt]:
    """Return the attempts below ``folder``, the first one first."""
    found = [path for path in folder.glob("[0-9]*") if path.name.isdigit()] if folder.is_dir() else []
    return sorted((Attempt(int(path.name), path) for path in found), key=lambda attempt: attempt.number)
