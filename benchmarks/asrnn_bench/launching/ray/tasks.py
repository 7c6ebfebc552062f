"""Hand jobs to Ray as tasks, and write down how tasks ended that left no result.

Ray never starts a task again by itself: it would not say so, and the retry rule would not count it. A task that Ray
loses is written down in the job's directory, and started again from here.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_PREEMPTED, End, EndKind
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.ray.cluster import first_line
from asrnn_bench.launching.ray.nodes import Share, room_for
from asrnn_bench.launching.ray.task import supervise_job
from asrnn_bench.launching.watch import Watch, saving

POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0
STOP_SECONDS = 5.0
"""What a stop takes beside the worker's own time to save."""

UNREAD_SECONDS = 600.0
"""How long a directory is read again that a file server fails to give."""

MOST_TASKS = 500
"""How many tasks Ray is given at a time; the other jobs wait here."""

MOST_LOSSES = 3
"""How often a task may end before its first attempt, which the retry rule could count."""


@dataclass(frozen=True)
class _Task:
    directory: JobDirectory
    before: int  # the number of attempts when the task was handed to Ray


@dataclass(frozen=True)
class _Ended:
    """A task that has ended, and how; the reason is empty if its supervisor settled the job."""

    task: _Task
    kind: EndKind
    reason: str


class Tasks:
    """The jobs of one run on Ray.

    Args:
        ray: the connected module.
        share: what each job takes of a node.
        options: how each job runs.
        environment: variables of each worker.
        directories: the jobs, in the order in which they start.
        most: how many tasks Ray is given at a time.
    """

    def __init__(
        self,
        ray: Any,
        share: Share,
        options: Options,
        environment: Mapping[str, str],
        directories: Sequence[JobDirectory],
        most: int = MOST_TASKS,
    ) -> None:
        self.last_words: dict[JobDirectory, str] = {}
        self._waiting = deque(directories)
        self._running: dict[Any, _Task] = {}
        self._unread: list[_Ended] = []
        self._unread_since: dict[JobDirectory, float] = {}
        self._losses: Counter[JobDirectory] = Counter()
        self._ray, self._share, self._options, self._environment = ray, share, options, environment
        self._most = min(MOST_TASKS, most)
        self._has_room = True
        # One process for each job: what a model's code or CUDA leaves in it does not reach the next job.
        self._remote = ray.remote(num_gpus=share.gpus, num_cpus=share.cpus, max_retries=0, max_calls=1)(supervise_job)

    def run(self, watch: Watch, say: Callable[[str], None]) -> None:
        """Run every job, and return when all are settled; after an interrupt, all save and end.

        Args:
            watch: called a few times a second, and after an interrupt with what is waited for.
            say: prints a line.
        """
        looked = time.monotonic()
        try:
            while self._waiting or self._running or self._unread:
                self._fill()
                self._look()
                watch()
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    self._look_for_room(say)
        finally:
            self._stop(watch)

    def _fill(self) -> None:
        """Hand to Ray as many jobs as it may have at a time."""
        while self._waiting and len(self._running) < self._most:
            directory = self._waiting.popleft()
            try:
                before = len(directory.attempts())
            except OSError as error:
                if self._may_pass(directory, error):
                    self._waiting.append(directory)
                else:
                    self.last_words[directory] = f"its directory cannot be read: {error}"
                return
            self._unread_since.pop(directory, None)
            reference = self._remote.remote(
                str(directory.path.absolute()), self._options.model_dump(mode="json"), self._environment
            )
            self._running[reference] = _Task(directory, before)

    def _look(self) -> None:
        """Wait a moment, and handle the tasks that have ended; a directory that cannot be read is read again later."""
        ended = [*self._unread, *map(self._take, self._ended())]
        self._unread = []
        for each in ended:
            try:
                if each.reason and not self._is_settled(each.task.directory):
                    self._lost(each.task, each.kind, each.reason)
            except OSError as error:
                if self._may_pass(each.task.directory, error):
                    self._unread.append(each)
                else:
                    words = f"{each.reason}; its end could not be written: {error}"
                    self.last_words[each.task.directory] = words
            else:
                self._unread_since.pop(each.task.directory, None)

    def _take(self, reference: Any) -> _Ended:
        task = self._running.pop(reference)
        return _Ended(task, *self._outcome(reference, task))

    def _may_pass(self, directory: JobDirectory, error: OSError) -> bool:
        """Return whether to read a directory again after an error."""
        since = self._unread_since.setdefault(directory, time.monotonic())
        return is_passing(error) and time.monotonic() - since < UNREAD_SECONDS

    def _ended(self) -> list[Any]:
        references = list(self._running)
        if not references:
            time.sleep(POLL_SECONDS)
            return []
        ended, _ = self._ray.wait(references, num_returns=len(references), timeout=POLL_SECONDS, fetch_local=False)
        return list(ended)

    def _outcome(self, reference: Any, task: _Task) -> tuple[EndKind, str]:
        """Return how a task ended; the reason is empty if its supervisor settled the job."""
        failures = self._ray.exceptions
        try:
            status, why = self._ray.get(reference)
        except failures.OutOfMemoryError as error:
            return "out-of-memory", f"Ray ended it, as the memory of its node ran out: {first_line(error)}"
        except failures.TaskCancelledError:
            return "preempted", "its Ray task was cancelled"
        except failures.RayTaskError as error:
            return "killed", f"its Ray task failed: {first_line(error.cause or error)}"
        except failures.RayError as error:
            return "killed", f"Ray lost its task: {first_line(error)}"
        if status == 0:
            self.last_words |= {task.directory: why} if why else {}
            return "preempted", ""
        return "preempted", why or ("its Ray task was asked to stop" if status == EX_PREEMPTED else "")

    @staticmethod
    def _is_settled(directory: JobDirectory) -> bool:
        """Return whether the job has a result, whatever Ray says about the task."""
        with suppress(OSError):
            list(directory.path.iterdir())  # makes NFS look again instead of answering from its cache
        return directory.is_done()

    def _lost(self, task: _Task, kind: EndKind, reason: str) -> None:
        """Write down that a task ended without settling its job, and start the job again if that may help.

        Raises:
            OSError: the job's directory cannot be read or written.
        """
        directory = task.directory
        attempts = directory.attempts()[task.before :]
        self._write_end(task, kind, reason)
        losses = 0 if attempts else self._losses[directory] + 1
        if not (attempts and directory.is_given_up(self._options.retries)):
            if losses > MOST_LOSSES or (kind == "out-of-memory" and not attempts):
                directory.skip("failed", reason)
            else:
                directory.wait(f"again: {reason}")
                self._waiting.append(directory)
        self._losses[directory] = losses

    def _write_end(self, task: _Task, kind: EndKind, reason: str) -> None:
        """Write the end of the attempts of a lost task: the next attempt would wait for them."""
        for attempt in task.directory.attempts()[task.before :]:
            if attempt.ended() is None:
                attempt.write_end(End(0, kind, reason, task.directory.saved_step()))

    def _look_for_room(self, say: Callable[[str], None]) -> None:
        """Print a line when no node can take a job any more, and when one can again."""
        has_room = room_for(self._ray, self._share)
        if has_room != self._has_room:
            self._has_room = has_room
            say(
                "there is a node for jobs again"
                if has_room
                else f"no node of the cluster has {self._share} now: waiting"
            )

    def _stop(self, watch: Watch) -> None:
        """Have all running jobs save and end; a second interrupt does not wait."""
        try:
            self._cancel(self._options.grace_seconds + STOP_SECONDS, watch, force=False)
        finally:
            self._cancel(STOP_SECONDS, watch, force=True)
            for task in self._running.values():
                with suppress(OSError):
                    self._write_end(task, "preempted", "ended with its run")

    def _cancel(self, seconds: float, watch: Watch, *, force: bool) -> None:
        """Cancel all tasks: without force, a supervisor gets an interrupt, and its worker saves and ends."""
        until = time.monotonic() + seconds
        for reference in self._running:
            self._ray.cancel(reference, force=force, recursive=False)
        while self._running and time.monotonic() < until:
            for reference in self._ended():
                task = self._running.pop(reference)
                with suppress(OSError):
                    if self._outcome(reference, task)[1] and not self._is_settled(task.directory):
                        self._write_end(task, "preempted", "ended with its run")
            if self._running:
                with suppress(OSError):  # the terminal may be gone; jobs are saved nevertheless
                    watch(saving(len(self._running), until - time.monotonic()))
