"""Claim, list and end the attempts at a job, each with a number and a folder of its own.

The number is a fencing token: a rename gives it to one process only, it goes into the result, and an attempt that sees
a higher number writes no more checkpoints.
"""

import errno
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.writing import is_there, read_object, replace, sync_folder
from asrnn_bench.jobs.ends import KIND_OF_EXIT_STATUS, LARGEST_AMOUNT, RULES, End, EndKind
from asrnn_bench.machine.hosts import Host, start_of


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job: its number, which goes into the result, and its folder."""

    number: int
    path: Path

    @property
    def log(self) -> Path:
        """The file for the output of its worker."""
        return self.path / "worker.log"

    def lives(self) -> bool:
        """Return whether the process that claimed it is alive; a process on another host is assumed to be."""
        claim = read_object(self.path / "claim.json")
        where = Host.here().sees(claim)
        if where == "elsewhere":
            return bool(claim)
        pid = claim.get("pid")
        started = start_of(pid) if where == "here" and isinstance(pid, int) else None
        return started is not None and started == claim.get("started")

    def is_own(self) -> bool:
        """Return whether this process claimed it."""
        claim = read_object(self.path / "claim.json")
        return Host.here().sees(claim) == "here" and claim.get("pid") == os.getpid() and self.lives()

    def was_requeued(self) -> bool:
        """Return whether it was claimed in this process's Slurm job, before Slurm queued that job again."""
        own, its = own_allocation(), read_object(self.path / "claim.json").get("allocation")
        if own is None or not isinstance(its, dict) or its.get("job") != own["job"]:
            return False
        before = its.get("restart")
        return isinstance(before, int) and before < int(own["restart"])

    def has_started(self) -> bool:
        """Return whether its worker started and wrote from which checkpoint it goes on."""
        return is_there(self.path / "start.json")

    def ended(self) -> End | None:
        """Return how it ended; None if no end is recorded."""
        said = read_object(self.path / "exit.json")
        code, kind = said.get("returncode"), said.get("kind")
        if not isinstance(code, int) or isinstance(code, bool):
            return None
        usual: EndKind = KIND_OF_EXIT_STATUS.get(code, "killed" if code < 0 else "exception")
        known = next((each for each in RULES if each == kind), usual)
        step, seconds = (_amount(said.get(name)) for name in ("saved_step", "seconds"))
        return End(code, known, plain(str(said.get("reason") or "")), int(step), seconds)

    def write_start(self, resumed_from: str, refused: list[str]) -> None:
        """Write from which checkpoint the attempt starts, and why newer ones were refused."""
        text = json.dumps({"resumed_from": resumed_from, "refused": refused}, indent=1, allow_nan=False)
        replace(self.path / "start.json", text + "\n")

    def write_end(self, end: End, details: dict[str, Any] | None = None, *, insist: bool = False) -> None:
        """Write how it ended, unless that is recorded: a worker knows the reason better than its supervisor.

        Args:
            end: how it ended.
            details: further values for readers.
            insist: replace a recorded end, because the supervisor ended the worker and knows the reason.
        """
        if is_there(self.path / "exit.json") and not insist:
            return
        said: dict[str, Any] = {"returncode": end.returncode, "kind": end.kind, "reason": end.reason or None}
        said |= {"saved_step": end.saved_step, "seconds": round(end.seconds, 3)}
        said |= read_object(self.path / "start.json") | (details or {})
        replace(self.path / "exit.json", json.dumps(said, indent=1, sort_keys=True, allow_nan=False) + "\n")


def _amount(value: object) -> float:
    """Return a number from a file; 0 if it is none, as the file is damaged."""
    return float(value) if isinstance(value, int | float) and 0 <= value < LARGEST_AMOUNT else 0.0


def own_allocation() -> dict[str, str | int] | None:
    """Return the Slurm job of this process, and how often it was queued again; only one such process runs at a time."""
    job, restart = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "0")
    return None if job is None else {"job": job, "restart": int(restart) if restart.isdecimal() else 0}


def claim_attempt(folder: Path, number: int) -> Attempt | None:
    """Claim attempt ``number`` below ``folder``; None if another process has it.

    A folder that holds the claim is renamed to the number, which only one process can do. So an attempt never exists
    without its claim, and is never taken for one whose process is gone.
    """
    path, pid = folder / f"{number:03d}", os.getpid()
    claim = {**Host.here().claim(), "pid": pid, "started": start_of(pid), "allocation": own_allocation()}
    folder.mkdir(parents=True, exist_ok=True)
    ready = Path(tempfile.mkdtemp(dir=folder, prefix=".claim."))
    try:
        ready.chmod(0o755)
        replace(ready / "claim.json", json.dumps(claim, sort_keys=True, allow_nan=False) + "\n")
        ready.rename(path)
    except OSError as error:
        shutil.rmtree(ready, ignore_errors=True)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return None
        raise
    sync_folder(folder)
    return Attempt(number, path)


def list_attempts(folder: Path) -> list[Attempt]:
    """Return the attempts below ``folder`` in the order of their numbers."""
    try:
        with os.scandir(folder) as entries:  # not glob: it takes four times as long, and there may be 10,000 folders
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (name for name in names if name.isascii() and name.isdecimal())
    return sorted((Attempt(int(name), folder / name) for name in found), key=lambda attempt: attempt.number)
