"""The directory that is a job: all of its state, and the exactly-once publication of its result.

::

    <output>/<suite>/<task>/<model>/seed-<n>-<key12>/
        job.json            the job, frozen
        model/              the file that defines the model, where it is a file
        attempts/001/       claim.json, worker.log, metrics.jsonl, exit.json, weights.safetensors
        progress.json       replaced about once a second while an attempt runs
        next.json           what a runner decided before the next attempt: it waits, or why it is not started
        result.json         published once; that it exists means done

Whoever starts a job, and however often: attempts are numbered by ``mkdir``, which only one process wins, and the
result is published by a hard link, which only the first one gets.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from asrnn.errors import UsageError
from asrnn_bench.atomic import read_object, replace, sync_folder
from asrnn_bench.records import Job, Record, Status, read_record
from asrnn_bench.running.attempts import EX_NO_INPUT, EX_TERMINATED, Attempt, claim_attempt, list_attempts

State = Literal["waiting", "running", "done", "diverged", "failed", "no-data"]

ENDINGS: dict[int, State] = {EX_NO_INPUT: "no-data", EX_TERMINATED: "waiting"}
"""What an attempt's return code says of its job; any other code means that it failed. An interrupted one waits."""


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
        """Write the job, and the file that defines its model beside it; what is so already is left alone.

        Raises:
            UsageError: the directory cannot be written, or the model's file changed since it was planned.
        """
        try:
            (self.path / "attempts").mkdir(parents=True, exist_ok=True)
            if model_file is not None:
                self._write_model(job, model_file)
            if not self._holds(job):
                text = json.dumps(job.model_dump(mode="json"), sort_keys=True, indent=1, allow_nan=False)
                replace(self.path / "job.json", text + "\n")
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.path}: {error.strerror}; choose another --output or mend its permissions"
            ) from error

    def _holds(self, job: Job) -> bool:
        try:
            return self.job().key == job.key
        except UsageError:
            return False

    def _write_model(self, job: Job, model_file: Path) -> None:
        content = model_file.read_bytes()
        if sha256(content).hexdigest() != job.model.code.get("sha256"):
            raise UsageError(f"{model_file} changed while the run was being planned; start it again")
        target = self.model_path(job)
        target.parent.mkdir(exist_ok=True)
        if not target.exists() or target.read_bytes() != content:
            replace(target, content)

    def model_path(self, job: Job) -> Path:
        """Return where the file that defines the model stands."""
        return self.path / "model" / job.model.target.rpartition(":")[0]

    def job(self) -> Job:
        """Return the job.

        Raises:
            UsageError: there is none, it is damaged, or it is not the one that the directory is named after.
        """
        try:
            job = Job.model_validate_json((self.path / "job.json").read_bytes())
        except OSError as error:
            raise UsageError(f"{self.path} is not a job directory: it has no readable job.json") from error
        except ValidationError as error:
            raise UsageError(f"{self.path / 'job.json'} is damaged; delete the directory and run again") from error
        if not self.path.name.endswith(job.key[:12]):
            raise UsageError(f"{self.path / 'job.json'} was altered; delete the directory and run again")
        return job

    def claim(self) -> Attempt:
        """Take the next attempt; no other process gets the same number."""
        attempt = claim_attempt(self.path / "attempts")
        (self.path / "next.json").unlink(missing_ok=True)
        return attempt

    def attempts(self) -> list[Attempt]:
        """Return the attempts there were, the first one first."""
        return list_attempts(self.path / "attempts")

    def publish(self, record: Record, attempt: Attempt) -> bool:
        """Publish the result and return whether it was the first one; a later one stays in its attempt's folder."""
        own = attempt.path / "result.json"
        replace(own, record.text())
        try:
            os.link(own, self.path / "result.json")
        except FileExistsError:
            return False
        except OSError:
            return self._publish_without_links(own, attempt)
        sync_folder(self.path)
        return True

    def _publish_without_links(self, own: Path, attempt: Attempt) -> bool:
        """Publish on a file system without hard links: only the first of two complete folders can be renamed."""
        folder = self.path / f".result.{attempt.number}"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(own, folder / "result.json")
        sync_folder(folder)
        try:
            folder.rename(self.path / "result")
        except OSError:
            if not (self.path / "result").is_dir():
                raise
            shutil.rmtree(folder)
            return False
        sync_folder(self.path)
        return True

    def _result_file(self) -> Path:
        linked = self.path / "result.json"
        renamed = self.path / "result" / "result.json"
        return renamed if renamed.exists() and not linked.exists() else linked

    def is_done(self) -> bool:
        """Return whether the job has its result."""
        return self._result_file().exists()

    def result(self) -> Record | None:
        """Return the published result, or ``None`` where there is none.

        Raises:
            UsageError: it is damaged, of a foreign job, or of a schema that this version does not read.
        """
        file = self._result_file()
        try:
            record = read_record(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} is damaged; delete it and run again") from error
        if not self.path.name.endswith(record.key[:12]):
            raise UsageError(f"{file} does not belong to its directory; delete it and run again")
        return record

    def wait(self) -> None:
        """Say that a runner will start the job, whatever came of it before."""
        self._decide("waiting", "")

    def skip(self, status: Status, reason: str) -> None:
        """Say why the job is not started; the next attempt takes that back."""
        self._decide(status, reason)

    def _decide(self, status: str, reason: str) -> None:
        replace(self.path / "next.json", json.dumps({"status": status, "reason": reason}, sort_keys=True) + "\n")

    def state(self) -> tuple[State, str | None]:
        """Return where the job stands, and the reason where it did not come to a result."""
        try:
            record = self.result()
        except UsageError as error:
            return "failed", str(error)
        if record is not None:
            return record.status, record.reason
        decided = read_object(self.path / "next.json")
        if decided.get("status") in ("waiting", "no-data", "failed"):
            return decided["status"], str(decided.get("reason")) or None
        attempts = self.attempts()
        if not attempts:
            return "waiting", None
        end = attempts[-1].ended()
        if end is None:
            return ("running" if attempts[-1].lives() else "waiting"), None
        state = ENDINGS.get(end[0], "failed")
        return state, None if state == "waiting" else end[1]

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Replace the file that observers follow."""
        replace(self.path / "progress.json", json.dumps(progress, allow_nan=False), durable=False)

    def progress(self) -> dict[str, Any]:
        """Return the progress of the last attempt; empty before its first word."""
        said, attempts = read_object(self.path / "progress.json"), self.attempts()
        return said if attempts and said.get("attempt") == attempts[-1].number else {}
