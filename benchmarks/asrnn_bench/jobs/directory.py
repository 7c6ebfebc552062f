"""The directory that is a job: all of its state, and the exactly-once publication of its result.

::

    <output>/<suite>/<task>/<model>/seed-<n>-<key12>/
        job.json            the job, frozen
        model/              the file that defines the model, where it is a file
        attempts/001/       claim.json, start.json, worker.log, metrics.jsonl, exit.json, weights.safetensors
        ckpt/               the last two checkpoints, until there is a result
        progress.json       replaced about once a second while an attempt runs
        next.json           what was decided before the next attempt: it waits, or why it is not started
        retry.json          up to which attempt none counts any more, since somebody asked for another try
        result.json         published once; that it exists means done

Whoever starts a job, and however often: attempts are numbered by a rename, which only one process wins, and the
result is published by a hard link, which only the first one gets.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.files.writing import holds, is_there, read_object, replace
from asrnn_bench.jobs.attempts import Attempt, claim_attempt, list_attempts
from asrnn_bench.jobs.ends import LARGEST_AMOUNT, RULES, End, decide
from asrnn_bench.jobs.publication import NAME, link_result, published, put_aside
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, Status, Weights
from asrnn_bench.records.texts import LaterVersionError, job_text, read_job, read_record

LARGEST_WEIGHTS = 1 << 40
"""Bytes."""

State = Literal["waiting", "running", "done", "diverged", "failed", "no-data"]

_CHECKPOINT = re.compile(r"step-(\d{8,})\.ckpt")


@dataclass(frozen=True)
class JobDirectory:
    """A job's directory; nothing else knows the names of the files in it."""

    path: Path

    @classmethod
    def of(cls, output: Path, job: Job) -> "JobDirectory":
        """Return where ``job`` lives below ``output``, whether or not it is there yet."""
        return cls(output / f"{job.suite}/{job.task.name}/{job.model.name}/seed-{job.seed}-{job.key[:12]}")

    @property
    def short_key(self) -> str:
        """The first digits of its job's key, with which its name ends."""
        return self.path.name[-12:]

    @classmethod
    def below(cls, output: Path) -> Iterator["JobDirectory"]:
        """Yield every job directory below ``output``, in the order of their paths."""
        found = glob("*/*/*/seed-*/job.json", root_dir=output)  # noqa: PTH207 - paths take far longer
        for parts in sorted(name.split("/")[:-1] for name in found):
            yield cls(output / "/".join(parts))

    def write_job(self, job: Job, model_file: Path | None = None) -> bool:
        """Write the job, and the file that defines its model beside it; what is so already is left alone.

        Returns:
            whether the directory is new, so that nothing can have come of the job before.

        Raises:
            UsageError: the directory cannot be written, or the model's file changed since it was planned.
        """
        try:
            is_new = wait_out(self._make)
            wait_out(lambda: self._write_job(job, model_file))
        except OSError as error:
            raise UsageError(
                f"cannot write to {self.path}: {error.strerror}; choose another --output or mend its permissions"
            ) from error
        return is_new

    def _write_job(self, job: Job, model_file: Path | None) -> None:
        if model_file is not None:
            self._write_model(job, model_file)
        text = job_text(job)
        if not holds(self.path / "job.json", text):
            # No wait for the disk: the runner waits once for all, and a job lost in a power cut is written again.
            replace(self.path / "job.json", text, durable=False)

    def _make(self) -> bool:
        """Make the directory, unless it is there, and return whether this process did."""
        try:
            self.path.mkdir(parents=True)
        except OSError:
            if not self.path.is_dir():
                raise
            return False
        return True

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
            OSError: the file system fails in a way that passes.
        """
        try:
            job = read_job(read_file(self.path / "job.json"))
        except OSError as error:
            if is_passing(error):
                raise
            raise UsageError(f"{self.path} is not a job directory: it has no readable job.json") from error
        except UnreadableError as error:
            raise UsageError(f"{self.path / 'job.json'}: {error}; run its suite again, which mends it") from error
        if not self.path.name.endswith(job.key[:12]):
            raise UsageError(f"{self.path / 'job.json'}: it was altered; run its suite again, which mends it")
        return job

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "ckpt"

    def saved_step(self) -> int:
        """Return the step of the newest checkpoint, 0 where there is none; none is read."""
        return max(checkpoint_steps(self.checkpoints), default=0)

    def take_checkpoint(self, earlier: "JobDirectory") -> bool:
        """Copy the newest checkpoint of the rung before, and return whether there was one; without it all is trained.

        Raises:
            OSError: it cannot be read or written.
        """
        step = earlier.saved_step()
        if not step:
            return False
        source, target = checkpoint_file(earlier.checkpoints, step), checkpoint_file(self.checkpoints, step)
        self.checkpoints.mkdir(exist_ok=True)
        for here, there in ((digest_file(source), digest_file(target)), (source, target)):  # as they are written
            replace(there, here.read_bytes())
        return True

    def clear(self, *, keep_checkpoints: bool) -> None:
        """Remove what a job that has its result needs no more: checkpoints, and what killed processes half wrote.

        The checkpoints of a rung stay: the next one goes on from them.
        """
        if not keep_checkpoints and not self._may_be_a_rung():
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        with suppress(OSError):  # what stays does no harm
            for file in [*self.path.glob(".*.json.*"), *self.path.glob("attempts/*/.*.json.*")]:
                file.unlink(missing_ok=True)
            for folder in self.path.glob("attempts/.claim.*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _may_be_a_rung(self) -> bool:
        try:
            return self.job().training.rung is not None
        except (UsageError, OSError):
            return True

    def holder(self) -> Attempt | None:
        """Return the attempt of a living process that has the job in hand."""
        attempts = self.attempts()
        return attempts[-1] if attempts and attempts[-1].ended() is None and attempts[-1].lives() else None

    def try_claim(self) -> Attempt | None:
        """Take the next attempt, unless another process takes that number just now."""
        number = max((attempt.number for attempt in self.attempts()), default=0) + 1
        attempt = claim_attempt(self.path / "attempts", number)
        if attempt is not None:
            (self.path / "next.json").unlink(missing_ok=True)
        return attempt

    def claim(self) -> Attempt:
        """Take the next attempt, whoever has the last; no other process gets the same number."""
        number = max((attempt.number for attempt in self.attempts()), default=0) + 1
        while (attempt := claim_attempt(self.path / "attempts", number)) is None:
            number += 1
        (self.path / "next.json").unlink(missing_ok=True)
        return attempt

    def attempts(self) -> list[Attempt]:
        """Return the attempts there were, the first one first."""
        return list_attempts(self.path / "attempts")

    def attempt(self, number: int) -> Attempt:
        """Return the attempt with a number."""
        return Attempt(number, self.path / "attempts" / f"{number:03d}")

    def is_latest(self, attempt: Attempt) -> bool:
        """Return whether no later attempt has taken over."""
        return not is_there(self.path / "attempts" / f"{attempt.number + 1:03d}")

    def ends(self) -> list[End]:
        """Return how the attempts that count ended; one that nobody said anything of was killed with its supervisor."""
        after = read_object(self.path / "retry.json").get("after")
        counting = [each for each in self.attempts() if not isinstance(after, int) or each.number > after]
        if not counting:
            return []
        lost = End(0, "preempted", "its supervisor ended before it", self.saved_step())
        found = [(attempt, attempt.ended()) for attempt in counting]
        return [end or lost for attempt, end in found if end is not None or not attempt.lives()]

    def is_given_up(self, retries: int) -> bool:
        """Return whether it failed in a way that another try would not mend, or more than ``retries`` times."""
        return decide(self.ends(), retries) == "never" and self.holder() is None

    def start_afresh(self) -> None:
        """Let no attempt that was made so far count against the job any more; its checkpoints stay."""
        over = [attempt.number for attempt in self.attempts() if attempt.ended() is not None or not attempt.lives()]
        last = max(over, default=0)
        replace(self.path / "retry.json", json.dumps({"after": last}, allow_nan=False) + "\n")

    def publish(self, record: Record, attempt: Attempt) -> bool:
        """Publish the result and return whether it was the first one; a later one stays in its attempt's folder."""
        own = attempt.path / "result.json"
        replace(own, record.text())
        return link_result(own, self.path)

    def write_weights(self, attempt: Attempt, content: bytes) -> Weights:
        """Write the selected weights of an attempt, and return what its record says of them.

        Raises:
            OSError: they cannot be written.
        """
        file = attempt.path / "weights.safetensors"
        replace(file, content)
        return Weights(file=file.relative_to(self.path).as_posix(), sha256=sha256(content).hexdigest())

    def weights(self, record: Record) -> bytes:
        """Return the file of the selected weights that a record names, after a look at its digest.

        Raises:
            UsageError: the record names none, or they are missing or not those that were tested.
            OSError: the file system fails in a way that passes.
        """
        if record.weights is None:
            raise UsageError(f"{self.path}: its record names no weights; it is diverged, or of an older version")
        file = self.path / record.weights.file
        try:
            content = read_file(file, LARGEST_WEIGHTS)
        except OSError as error:
            if is_passing(error):
                raise
            raise UsageError(f"{file} cannot be read: {error.strerror}") from error
        found = sha256(content).hexdigest()
        if found != record.weights.sha256:
            raise UsageError(f"{file} is damaged: its sha256 is {found[:12]}, not {record.weights.sha256[:12]}")
        return content

    def result_file(self) -> Path:
        """Return where the published result is, or would be."""
        return published(self.path)

    def put_aside_damaged_result(self) -> bool:
        """Put a result aside that is damaged, altered or another job's, and return whether it was one.

        One that cannot be read now, or that a later version wrote, is left alone.

        Raises:
            OSError: it cannot be renamed.
        """
        try:
            self._read_result(self.result_file())
        except LaterVersionError:
            return False
        except UnreadableError:
            put_aside(self.path)
            return True
        except OSError:
            return False
        return False

    def is_done(self) -> bool:
        """Return whether the job has its result."""
        return is_there(self.result_file())

    def result(self) -> Record | None:
        """Return the published result, or ``None`` where there is none.

        Raises:
            UsageError: it is damaged, of a foreign job, or of a schema that this version does not read.
            OSError: the file system fails in a way that passes.
        """
        file = self.result_file()
        try:
            return self._read_result(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            if is_passing(error):
                raise
            raise UsageError(
                f"{file} cannot be read: {error.strerror}; mend that, or remove it, and run again"
            ) from error
        except LaterVersionError as error:
            raise UsageError(f"{file}: {error}; update asrnn-bench, or name another folder with --output") from error
        except UnreadableError as error:
            raise UsageError(f"{file}: {error}; run again with --retry-failed, which puts it aside") from error

    def _read_result(self, file: Path) -> Record:
        record = read_record(read_file(file))
        if not self.path.name.endswith(record.key[:12]):
            raise UnreadableError("it is the result of another job")
        return record

    def wait(self, reason: str = "") -> None:
        """Say that the job will be started, whatever came of it before, and why again."""
        self._decide("waiting", reason)

    def skip(self, status: Status, reason: str) -> None:
        """Say why the job is not started; the next attempt takes that back."""
        self._decide(status, reason)

    def _decide(self, status: str, reason: str) -> None:
        text = json.dumps({"status": status, "reason": reason}, sort_keys=True, allow_nan=False)
        # No wait for the disk: without this file the attempts say where the job stands, and a runner decides again.
        replace(self.path / "next.json", text + "\n", durable=False)

    def glance(self) -> dict[str, Any] | None:
        """Return the published result as it is written; ``None`` where there is none, and empty where it is damaged.

        Unlike :meth:`result` it compares no digest, which takes most of the time where there are thousands.
        """
        for file in (self.path / NAME, self.path / "result" / NAME):
            try:
                value = json.loads(read_file(file))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError, RecursionError):
                return {}
            return value if isinstance(value, dict) else {}
        return None

    def state(self) -> tuple[State, str | None]:
        """Return where the job stands, and the reason where it did not come to a result."""
        try:
            record = self.result()
        except UsageError as error:
            return "failed", str(error)
        if record is not None:
            return record.status, record.reason
        return self.state_without_result()

    def state_without_result(self, attempts: list[Attempt] | None = None) -> tuple[State, str | None]:
        """Return where a job stands that has no result; its attempts may be given, where they were just looked up."""
        decided = read_object(self.path / "next.json")
        if decided.get("status") in ("waiting", "no-data", "failed"):
            return decided["status"], plain(str(decided.get("reason") or "")) or None
        attempts = self.attempts() if attempts is None else attempts
        if not attempts:
            return "waiting", None
        end = attempts[-1].ended()
        if end is None:
            return ("running" if attempts[-1].lives() else "waiting"), None
        state: State = RULES[end.kind].shows
        return state, None if state == "waiting" else end.reason or end.kind

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Replace the file that observers follow."""
        replace(self.path / "progress.json", json.dumps(progress, allow_nan=False), durable=False)

    def progress(self, attempts: list[Attempt] | None = None) -> dict[str, Any]:
        """Return the progress of the last attempt; empty before its first word, and without what nobody can show.

        Args:
            attempts: the attempts, of which the last one counts; without them, their folder is listed.
        """
        said = read_object(self.path / "progress.json")
        attempts = self.attempts() if attempts is None else attempts
        if not attempts or said.get("attempt") != attempts[-1].number:
            return {}
        return {name: value for name, value in said.items() if _can_be_shown(name, value)}

    def progress_version(self) -> tuple[int, int] | None:
        """Return what changes whenever the progress is replaced, without opening it; ``None`` where there is none."""
        try:
            found = (self.path / "progress.json").stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_ino, found.st_mtime_ns


def _can_be_shown(name: str, value: Any) -> bool:
    """Return whether a file of progress says something of the right kind; the phase is a word, the rest are numbers."""
    if name == "phase":
        return isinstance(value, str) and len(value) <= 20 and value.isprintable()
    return isinstance(value, int | float) and (value == 0 or 1e-12 < abs(value) < LARGEST_AMOUNT)


def checkpoint_file(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint after ``step`` optimiser steps."""
    return folder / f"step-{step:08d}.ckpt"


def digest_file(checkpoint: Path) -> Path:
    """Return the file that holds the sha256 of a checkpoint."""
    return checkpoint.with_name(checkpoint.name + ".sha256")


def checkpoint_steps(folder: Path) -> Iterator[int]:
    """Yield the steps of the checkpoints in a folder, in no order.

    Raises:
        OSError: the folder is there and cannot be listed; ``Path.glob`` of some versions of Python takes it for empty.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        matched = _CHECKPOINT.fullmatch(name)
        if matched is not None:
            yield int(matched[1])
