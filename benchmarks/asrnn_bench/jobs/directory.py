"""Keep all state of a job in its directory.

::

    <output>/<suite>/<task>/<model>/seed-<n>-<key12>/
        job.json            the job, frozen
        model/              the file that defines the model, if a file does
        attempts/001/       claim.json, start.json, worker.log, metrics.jsonl, exit.json, weights.safetensors
        ckpt/               the last two checkpoints, until there is a result
        progress.json       replaced about once a second while an attempt runs
        next.json           a decision before the next attempt: the job waits, or the reason why it is not started
        retry.json          the last attempt that no longer counts, since ``--retry-failed``
        result.json         published once; the job is done if and only if it exists

However many processes start a job, it has one result: attempts are numbered by a rename, which only one process wins,
and the result is published by a hard link, which only the first one gets.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Literal

from asrnn.errors import UsageError
from asrnn_bench.files.plain_text import plain
from asrnn_bench.files.writing import is_there, read_object, replace
from asrnn_bench.jobs import job_file, progress_file, result_file, weights
from asrnn_bench.jobs.attempts import Attempt, claim_attempt, list_attempts
from asrnn_bench.jobs.checkpoint_files import copy_newest, newest_step
from asrnn_bench.jobs.ends import RULES, End, decide
from asrnn_bench.jobs.publication import link_result, published
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, Status

State = Literal["waiting", "running", "done", "diverged", "failed", "no-data"]


@dataclass(frozen=True)
class JobDirectory:
    """The directory of a job."""

    path: Path

    @classmethod
    def of(cls, output: Path, job: Job) -> "JobDirectory":
        """Return the directory of ``job`` below ``output``, whether or not it exists."""
        return cls(output / f"{job.suite}/{job.task.name}/{job.model.name}/seed-{job.seed}-{job.key[:12]}")

    @classmethod
    def below(cls, output: Path) -> Iterator["JobDirectory"]:
        """Yield every job directory below ``output``, in the order of their paths."""
        found = glob(f"*/*/*/seed-*/{job_file.NAME}", root_dir=output)  # noqa: PTH207 - paths take far longer
        for parts in sorted(name.split("/")[:-1] for name in found):
            yield cls(output / "/".join(parts))

    @property
    def short_key(self) -> str:
        """The first digits of the key of its job, with which its name ends."""
        return self.path.name[-12:]

    def write_job(self, job: Job, model_file: Path | None = None) -> bool:
        """Write the job and the file of its model; see :func:`asrnn_bench.jobs.job_file.write_job`."""
        return job_file.write_job(self.path, job, model_file)

    def job(self) -> Job:
        """Return the job; see :func:`asrnn_bench.jobs.job_file.read_job_of`."""
        return job_file.read_job_of(self.path)

    def model_path(self, job: Job) -> Path:
        """Return the path of the file that defines the model."""
        return job_file.model_path(self.path, job)

    def attempts(self) -> list[Attempt]:
        """Return all attempts, the first one first."""
        return list_attempts(self.path / "attempts")

    def attempt(self, number: int) -> Attempt:
        """Return the attempt with a number."""
        return Attempt(number, self.path / "attempts" / f"{number:03d}")

    def is_latest(self, attempt: Attempt) -> bool:
        """Return whether no later attempt has taken over."""
        return not is_there(self.path / "attempts" / f"{attempt.number + 1:03d}")

    def holder(self) -> Attempt | None:
        """Return the last attempt if its process is alive, which then has the job."""
        attempts = self.attempts()
        return attempts[-1] if attempts and attempts[-1].ended() is None and attempts[-1].lives() else None

    def try_claim(self) -> Attempt | None:
        """Claim the next attempt; None if another process claims that number at the same time."""
        return self._claim(self._next_number())

    def claim(self) -> Attempt:
        """Claim the next attempt that no other process claims, even if another process has the job."""
        number = self._next_number()
        while (attempt := self._claim(number)) is None:
            number += 1  # not listed again: a file server may answer from its cache
        return attempt

    def _next_number(self) -> int:
        return max((attempt.number for attempt in self.attempts()), default=0) + 1

    def _claim(self, number: int) -> Attempt | None:
        attempt = claim_attempt(self.path / "attempts", number)
        if attempt is not None:
            (self.path / "next.json").unlink(missing_ok=True)
        return attempt

    def ends(self) -> list[End]:
        """Return how the attempts that count ended. One without ``exit.json`` was killed with its supervisor."""
        after = read_object(self.path / "retry.json").get("after")
        counting = [each for each in self.attempts() if not isinstance(after, int) or each.number > after]
        if not counting:
            return []
        lost = End(0, "preempted", "its supervisor ended before it", self.saved_step())
        found = [(attempt, attempt.ended()) for attempt in counting]
        return [end or lost for attempt, end in found if end is not None or not attempt.lives()]

    def is_given_up(self, retries: int) -> bool:
        """Return whether the job is not started again until ``--retry-failed``, given the number of ``--retries``."""
        return decide(self.ends(), retries) == "never" and self.holder() is None

    def start_afresh(self) -> None:
        """Count no attempt so far against the job any more; its checkpoints stay."""
        over = [attempt.number for attempt in self.attempts() if attempt.ended() is not None or not attempt.lives()]
        last = max(over, default=0)
        replace(self.path / "retry.json", json.dumps({"after": last}, allow_nan=False) + "\n")

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "ckpt"

    def saved_step(self) -> int:
        """Return the step of the newest checkpoint, 0 if there is none."""
        return newest_step(self.checkpoints)

    def take_checkpoint(self, earlier: "JobDirectory") -> bool:
        """Copy the newest checkpoint of the previous rung, and return whether there was one.

        Raises:
            OSError: it cannot be read or written.
        """
        return copy_newest(earlier.checkpoints, self.checkpoints)

    def clear(self, *, keep_checkpoints: bool) -> None:
        """Remove what a job with a result no longer needs: its checkpoints, and files that killed processes left.

        The checkpoints of a rung stay, as the next rung starts from them.
        """
        if not keep_checkpoints and not self._may_be_a_rung():
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        with suppress(OSError):  # files that stay do no harm
            for file in [*self.path.glob(".*.json.*"), *self.path.glob("attempts/*/.*.json.*")]:
                file.unlink(missing_ok=True)
            for folder in self.path.glob("attempts/.claim.*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _may_be_a_rung(self) -> bool:
        try:
            return self.job().training.rung is not None
        except (UsageError, OSError):
            return True

    def publish(self, record: Record, attempt: Attempt) -> bool:
        """Publish the result, and return whether it is the first one; a later one stays with its attempt."""
        own = attempt.path / "result.json"
        replace(own, record.text())
        return link_result(own, self.path)

    def is_done(self) -> bool:
        """Return whether the job has its result."""
        return is_there(self.result_file())

    def result_file(self) -> Path:
        """Return the path of the published result, whether or not it exists."""
        return published(self.path)

    def result(self) -> Record | None:
        """Return the published result; see :func:`asrnn_bench.jobs.result_file.read_result`."""
        return result_file.read_result(self.path)

    def weights(self, record: Record) -> bytes:
        """Return the selected weights; see :func:`asrnn_bench.jobs.weights.read_weights`."""
        return weights.read_weights(self.path, record)

    def wait(self, reason: str = "") -> None:
        """Write that the job will be started, and the reason why again."""
        self._decide("waiting", reason)

    def skip(self, status: Status, reason: str) -> None:
        """Write why the job is not started; the next attempt removes that."""
        self._decide(status, reason)

    def _decide(self, status: str, reason: str) -> None:
        text = json.dumps({"status": status, "reason": reason}, sort_keys=True, allow_nan=False)
        # Not flushed: without this file the attempts say where the job stands, and a runner decides again.
        replace(self.path / "next.json", text + "\n", durable=False)

    def state(self) -> tuple[State, str | None]:
        """Return the state of the job, and the reason if it has no result."""
        try:
            record = self.result()
        except UsageError as error:
            return "failed", str(error)
        if record is not None:
            return record.status, record.reason
        return self.state_without_result()

    def state_without_result(self, attempts: list[Attempt] | None = None) -> tuple[State, str | None]:
        """Return the state of a job without a result, and its reason.

        Args:
            attempts: all attempts; by default their folder is listed.
        """
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
        progress_file.write_progress(self.path, progress)

    def progress(self, attempts: list[Attempt] | None = None) -> dict[str, Any]:
        """Return the progress of the last attempt; empty before its first report.

        Args:
            attempts: all attempts, or only the last one; by default their folder is listed.
        """
        attempts = self.attempts() if attempts is None else attempts
        return progress_file.read_progress(self.path, attempts[-1].number) if attempts else {}
