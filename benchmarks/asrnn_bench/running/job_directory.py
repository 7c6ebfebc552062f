"""The directory that is a job: all of its state, and the exactly-once publication of its result.

::

    <output>/<suite>/<task>/<model>/seed-<n>-<key12>/
        job.json            the job, frozen
        model/              the file that defines the model, where it is a file
        attempts/001/       claim.json, worker.log, metrics.jsonl, exit.json, weights.safetensors
        progress.json       replaced about once a second while an attempt runs
        skipped.json        why the job was not started the last time, where it was not
        result.json         published once; that it exists means done

Whoever starts a job, and however often: attempts are numbered by ``mkdir``, which only one process wins, and the
result is published by a hard link, which only the first one gets.
"""

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import ValidationError

from asrnn.errors import UsageError
from asrnn_bench.atomic import replace, sync_folder
from asrnn_bench.records import Job, Record, Status

State = Literal["waiting", "running", "done", "diverged", "failed", "no-data"]

EX_NO_INPUT = 66
EX_TERMINATED = 143
ENDINGS: dict[int | None, State] = {EX_NO_INPUT: "no-data", EX_TERMINATED: "waiting", -15: "waiting", -2: "waiting"}
"""What an attempt's return code says of its job; any other code means that it failed. An interrupted one waits."""


@dataclass(frozen=True)
class Attempt:
    """One process that tries a job: its number, which goes into the result, and its folder."""

    number: int
    path: Path


@dataclass(frozen=True)
class JobDirectory:
    """A job's directory; nothing else knows the names of the files in it."""

    path: Path

    @classmethod
    def of(cls, output: Path, job: Job) -> "JobDirectory":
        """Return where ``job`` lives below ``output``, whether or not it is there yet."""
        return cls(output / job.suite / job.task.name / job.model.name / f"seed-{job.seed}-{job.key[:12]}")

    @classmethod
    def below(cls, output: Path) -> Iterator["JobDirectory"]:
        """Yield every job directory below ``output``, in the order of their paths."""
        for file in sorted(output.glob("*/*/*/seed-*/job.json")):
            yield cls(file.parent)

    def write_job(self, job: Job, model_file: Path | None = None) -> None:
        """Write the job, and the file that defines its model beside it; what stands already is left alone."""
        try:
            (self.path / "attempts").mkdir(parents=True, exist_ok=True)
            if model_file is not None:
                self._write_model(job, model_file)
            if not (self.path / "job.json").exists():
                text = json.dumps(job.model_dump(mode="json"), sort_keys=True, indent=1, allow_nan=False) + "\n"
                replace(self.path / "job.json", text)
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.path}: {error.strerror}; choose another --output or mend its permissions"
            ) from error

    def _write_model(self, job: Job, model_file: Path) -> None:
        content = model_file.read_bytes()
        if sha256(content).hexdigest() != job.model.code.get("sha256"):
            raise UsageError(f"{model_file} changed while the run was being planned; start it again")
        self.model_path(job).parent.mkdir(exist_ok=True)
        if not self.model_path(job).exists():
            replace(self.model_path(job), content.decode("utf-8"))

    def model_path(self, job: Job) -> Path:
        """Return where the file that defines the model stands."""
        return self.path / "model" / job.model.target.rpartition(":")[0]

    def job(self) -> Job:
        """Return the job.

        Raises:
            UsageError: there is none, or it is damaged.
        """
        try:
            return Job.model_validate_json((self.path / "job.json").read_bytes())
        except OSError as error:
            raise UsageError(f"{self.path} is not a job directory: it has no readable job.json") from error
        except ValidationError as error:
            raise UsageError(f"{self.path / 'job.json'} is damaged; delete the directory and run again") from error

    def claim(self) -> Attempt:
        """Take the next attempt; no other process gets the same number."""
        number = max((int(folder.name) for folder in self._attempts()), default=0) + 1
        while True:
            path = self.path / "attempts" / f"{number:03d}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                number += 1
                continue
            claim = {"host": platform.node(), "pid": os.getpid()}
            replace(path / "claim.json", json.dumps(claim, sort_keys=True) + "\n")
            (self.path / "skipped.json").unlink(missing_ok=True)
            return Attempt(number, path)

    def last_attempt(self) -> Attempt | None:
        """Return the attempt that was claimed last."""
        folders = self._attempts()
        return Attempt(int(folders[-1].name), folders[-1]) if folders else None

    def _attempts(self) -> list[Path]:
        folder = self.path / "attempts"
        return sorted(path for path in folder.glob("[0-9]*") if path.name.isdigit()) if folder.is_dir() else []

    def publish(self, record: Record, attempt: Attempt) -> bool:
        """Publish the result and return whether it was the first one; a later one stays in its attempt's folder."""
        own = attempt.path / "result.json"
        replace(own, record.text())
        try:
            os.link(own, self.path / "result.json")
        except FileExistsError:
            return False
        sync_folder(self.path)
        return True

    def is_done(self) -> bool:
        """Return whether the job has its result."""
        return (self.path / "result.json").exists()

    def result(self) -> Record | None:
        """Return the published result, or ``None`` where there is none.

        Raises:
            UsageError: it is damaged, of a foreign job, or of a schema that this version does not read.
        """
        file = self.path / "result.json"
        try:
            record = Record.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise UsageError(f"{file} is damaged; delete it and run again") from error
        if record.key != record.job.key or record.key != self.job().key:
            raise UsageError(f"{file} does not belong to the job beside it; delete it and run again")
        return record

    def skip(self, status: Status, reason: str) -> None:
        """Say why the job is not started; the next attempt takes that back."""
        replace(self.path / "skipped.json", json.dumps({"status": status, "reason": reason}, sort_keys=True) + "\n")

    def state(self) -> tuple[State, str | None]:
        """Return where the job stands, and the reason where it did not come to a result."""
        try:
            record = self.result()
        except UsageError as error:
            return "failed", str(error)
        if record is not None:
            return record.status, record.reason
        skipped = _read_object(self.path / "skipped.json")
        if skipped.get("status") in ("no-data", "failed"):
            return skipped["status"], str(skipped.get("reason"))
        attempt = self.last_attempt()
        if attempt is None:
            return "waiting", None
        ended = _read_object(attempt.path / "exit.json")
        if not ended:
            return ("running" if _lives(_read_object(attempt.path / "claim.json")) else "waiting"), None
        status = ENDINGS.get(ended.get("returncode"), "failed")
        return status, None if status == "waiting" else str(ended.get("reason"))

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Replace the file that observers follow."""
        replace(self.path / "progress.json", json.dumps(progress, allow_nan=False), durable=False)

    def progress(self) -> dict[str, Any]:
        """Return the last progress that was written; empty before the first."""
        return _read_object(self.path / "progress.json")


def _lives(claim: dict[str, Any]) -> bool:
    """Whether the process of a claim runs; one on another host is believed."""
    return claim.get("host") != platform.node() or psutil.pid_exists(int(claim.get("pid") or 0))


def write_exit(attempt: Attempt, value: dict[str, Any]) -> None:
    """Write how the attempt ended, unless that is known already: the worker knows the reason, its parent the signal."""
    if not (attempt.path / "exit.json").exists():
        replace(attempt.path / "exit.json", json.dumps(value, indent=1, sort_keys=True) + "\n")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
