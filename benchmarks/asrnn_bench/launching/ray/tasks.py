"""The Ray launcher: one core task a job, each of which supervises its worker on the node that Ray chose.

Ray says where and when; what came of a job stands in its directory. Ray itself tries nothing twice: it would not say
so, and the policy would not know. A task that Ray loses is written down in the job's directory, and started again.
"""

import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_PREEMPTED, End, EndKind
from asrnn_bench.jobs.handover import JOBS_PER_DEVICE_VARIABLE
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.ray.cluster import RayRequest, connected, first_line
from asrnn_bench.launching.ray.nodes import Share, check_nodes, room_for
from asrnn_bench.launching.watch import Watch, saving, unwatched
from asrnn_bench.supervising.supervise import supervise

POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0
RAYLET_SECONDS = 1.0
SIGHT_SECONDS = 60.0
"""How long a node may take to see a new folder: what NFS keeps in its cache at most, by default."""

STOP_SECONDS = 5.0
"""What a stop takes beside the worker's own time to save."""

UNREAD_SECONDS = 600.0
"""How long a directory that a file server fails to give is asked for again."""

MOST_TASKS = 500
"""How many tasks Ray is given at a time; the other jobs wait here."""

MOST_LOSSES = 3
"""How often a task may end before it comes to an attempt, which the policy could count."""


def run_ray(
    directories: Sequence[JobDirectory],
    options: Options,
    request: RayRequest,
    watch: Watch = unwatched,
    say: Callable[[str], None] = lambda line: None,
) -> dict[JobDirectory, str]:
    """Run every job as a Ray task, and return when all are settled.

    An interrupt has the workers save and end, and is raised again.

    Args:
        directories: the jobs, in the order in which they start.
        options: how they run.
        request: on which cluster, and how much of a node each takes.
        watch: called a few times a second, and with what it waits for after an interrupt.
        say: prints a line.

    Returns:
        for each job whose directory could not be written to, what would have been written there.

    Raises:
        UsageError: Ray is missing, cannot be reached, has no node for such jobs, or a node does not see their folder.
    """
    if not directories:
        return {}
    with connected(request, options.devices_per_job) as ray:
        share = check_nodes(ray, request, options.devices_per_job, directories[0])
        tasks = _Tasks(ray, share, options, request, deque(directories))
        looked = time.monotonic()
        try:
            while tasks.waiting or tasks.running or tasks.unread:
                tasks.fill()
                tasks.look()
                watch()
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    tasks.look_for_room(say)
        finally:
            tasks.stop(watch)
        return tasks.last_words


def supervise_job(path: str, options: dict[str, Any], environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Supervise one job, on the node and in the process that Ray chose; all that travels is plain data.

    Returns:
        the status of ``supervise`` and what the directory could not be made to say, or ``None`` and why it could not
        begin.
    """
    os.environ.pop("RAY_AUTH_TOKEN", None)  # this process has read it, and a model's code has no need of it
    Thread(target=_stop_with_raylet, args=(os.getppid(),), daemon=True).start()
    until = time.monotonic() + SIGHT_SECONDS
    while not (Path(path) / "job.json").exists() and time.monotonic() < until:
        time.sleep(1.0)
    words: list[str] = []
    try:
        status = supervise(path, Options.model_validate(options), environment, words.append)
        return status, "".join(f"{os.uname().nodename}: {each}" for each in words)
    except UsageError as error:
        return None, f"{os.uname().nodename}: {error}"


def _stop_with_raylet(raylet: int) -> None:
    """Have the job saved and ended when its node falls out of the cluster: Ray lets the task run on, for nobody."""
    while os.getppid() == raylet:
        time.sleep(RAYLET_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True)
class _Task:
    directory: JobDirectory
    before: int  # how many attempts there were when it was handed to Ray


@dataclass(frozen=True)
class _Ended:
    """A task that has ended, what Ray says of it, and since when that is known."""

    task: _Task
    kind: EndKind
    reason: str
    since: float


class _Tasks:
    def __init__(
        self, ray: Any, share: Share, options: Options, request: RayRequest, waiting: deque[JobDirectory]
    ) -> None:
        self.waiting = waiting
        self.running: dict[Any, _Task] = {}
        self.unread: list[_Ended] = []
        self.last_words: dict[JobDirectory, str] = {}
        self._ray, self._share, self._options = ray, share, options
        self._losses: Counter[JobDirectory] = Counter()
        self._unread_since: dict[JobDirectory, float] = {}
        self._has_room = True
        devices = request.devices
        most = MOST_TASKS if devices is None else devices * request.jobs_per_device // options.devices_per_job
        self._most = min(MOST_TASKS, most)
        self._environment = share.environment(request.threads)
        self._environment[JOBS_PER_DEVICE_VARIABLE] = str(request.jobs_per_device)
        # A process for each job: what a model's code or CUDA leaves in one does not reach the next.
        self._remote = ray.remote(num_gpus=share.gpus, num_cpus=share.cpus, max_retries=0, max_calls=1)(supervise_job)

    def fill(self) -> None:
        """Hand to Ray as many jobs as it may have at a time."""
        while self.waiting and len(self.running) < self._most:
            directory = self.waiting.popleft()
            try:
                before = len(directory.attempts())
            except OSError as error:
                since = self._unread_since.setdefault(directory, time.monotonic())
                if is_passing(error) and time.monotonic() - since < UNREAD_SECONDS:
                    self.waiting.append(directory)
                else:
                    self.last_words[directory] = f"its directory cannot be read: {error}"
                return
            self._unread_since.pop(directory, None)
            reference = self._remote.remote(
                str(directory.path.absolute()), self._options.model_dump(mode="json"), self._environment
            )
            self.running[reference] = _Task(directory, before)

    def look(self) -> None:
        """Wait a moment, and see to the tasks that have ended; a directory that cannot be read now is seen to later."""
        ended = [self._take(each) for each in self._ended()]
        ended, self.unread = [*self.unread, *ended], []
        for each in ended:
            try:
                if each.reason and not self._is_settled(each.task.directory):
                    self._lost(each.task, each.kind, each.reason)
            except OSError as error:
                if is_passing(error) and time.monotonic() - each.since < UNREAD_SECONDS:
                    self.unread.append(each)
                else:
                    words = f"{each.reason}; its end could not be written: {error}"
                    self.last_words[each.task.directory] = words

    def _take(self, reference: Any) -> _Ended:
        task = self.running.pop(reference)
        return _Ended(task, *self._outcome(reference, task), time.monotonic())

    def _ended(self) -> list[Any]:
        references = list(self.running)
        if not references:
            time.sleep(POLL_SECONDS)
            return []
        ended, _ = self._ray.wait(references, num_returns=len(references), timeout=POLL_SECONDS, fetch_local=False)
        return list(ended)

    def _outcome(self, reference: Any, task: _Task) -> tuple[EndKind, str]:
        """Return what became of a task that has ended; no reason where its supervisor is done with the job."""
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
        """Return whether there is a result, whatever Ray says of the task."""
        with suppress(OSError):
            list(directory.path.iterdir())  # has NFS look again instead of answering from its cache
        return directory.is_done()

    def _lost(self, task: _Task, kind: EndKind, reason: str) -> None:
        """Write down that a task ended and its job did not, and start it again where that may help.

        Raises:
            OSError: its directory cannot be read or written.
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
                self.waiting.append(directory)
        self._losses[directory] = losses

    def _write_end(self, task: _Task, kind: EndKind, reason: str) -> None:
        """Say how the attempts of a lost task ended, which nobody else can: the next one would wait for them."""
        for attempt in task.directory.attempts()[task.before :]:
            if attempt.ended() is None:
                attempt.write_end(End(0, kind, reason, task.directory.saved_step()))

    def look_for_room(self, say: Callable[[str], None]) -> None:
        """Say so when the last node that could take a job has gone, and when there is one again."""
        has_room = room_for(self._ray, self._share)
        if has_room != self._has_room:
            self._has_room = has_room
            say(
                "there is a node for jobs again"
                if has_room
                else f"no node of the cluster has {self._share} now: waiting"
            )

    def stop(self, watch: Watch) -> None:
        """Have what still runs save and end; a second interrupt does not wait."""
        try:
            self._cancel(self._options.grace_seconds + STOP_SECONDS, watch, force=False)
        finally:
            self._cancel(STOP_SECONDS, watch, force=True)
            for task in self.running.values():
                with suppress(OSError):
                    self._write_end(task, "preempted", "ended with its run")

    def _cancel(self, seconds: float, watch: Watch, *, force: bool) -> None:
        """Cancel all tasks: the gentle way is an interrupt, which a supervisor takes as a request to save and stop."""
        until = time.monotonic() + seconds
        for reference in self.running:
            self._ray.cancel(reference, force=force, recursive=False)
        while self.running and time.monotonic() < until:
            for reference in self._ended():
                task = self.running.pop(reference)
                with suppress(OSError):
                    if self._outcome(reference, task)[1] and not self._is_settled(task.directory):
                        self._write_end(task, "preempted", "ended with its run")
            if self.running:
                with suppress(OSError):  # the terminal may be gone: jobs are saved all the same
                    watch(saving(len(self.running), until - time.monotonic()))
