"""Run jobs on this machine: a pool of supervised workers, one on each slot, each pinned before it imports torch."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import ClassVar

from asrnn.errors import DeviceError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_NOT_STARTED
from asrnn_bench.jobs.handover import KEEP_BUFFERS
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import Launcher, LaunchSettings
from asrnn_bench.launching.slots import Slot, describe_slots, find_slots, require_gpus_of
from asrnn_bench.launching.watch import Watch, saving, unwatched
from asrnn_bench.supervising.forked import Template
from asrnn_bench.supervising.heartbeat import AWAKE
from asrnn_bench.supervising.processes import Child, Start
from asrnn_bench.supervising.supervisor import LOOK_SECONDS, Supervisor

POLL_SECONDS = 0.05
LONGEST_KILL_SECONDS = 5.0
"""How long the end of a run waits for workers that it has killed."""


class LocalLauncher(Launcher):
    """Runs jobs on this machine, one on each slot: a GPU, several of them, or a group of cores."""

    on_cluster: ClassVar[bool] = False

    def __init__(self, settings: LaunchSettings, threads: int) -> None:
        self._slots = find_slots(
            devices=settings.devices,
            jobs_per_device=settings.jobs_per_device,
            devices_per_job=settings.options.devices_per_job,
            threads=threads,
        )
        self.at_a_time, self.pace = len(self._slots), describe_slots(self._slots)
        self.check_environment = dict(self._slots[0].environment)

    def check(self) -> None:
        """Check that torch can compute on the GPUs of all slots.

        Raises:
            DeviceError: it cannot.
        """
        require_gpus_of(self._slots)

    def run(
        self,
        directories: Sequence[JobDirectory],
        options: Options,
        watch: Watch = unwatched,
        say: Callable[[str], None] = lambda line: None,
    ) -> dict[JobDirectory, str]:
        """Run every job on this machine, and return when all are settled."""
        return run_local(directories, self._slots, options, watch, say)


def run_local(
    directories: Iterable[JobDirectory],
    slots: Sequence[Slot],
    options: Options,
    watch: Watch = unwatched,
    say: Callable[[str], None] = lambda line: None,
) -> dict[JobDirectory, str]:
    """Run every job, as many at a time as there are slots, and return when all are settled.

    One thread starts all workers, because a worker ends with the thread that started it. After an interrupt the workers
    save and end, and the interrupt is raised again. A worker that cannot be killed keeps its slot until it is gone.

    Args:
        directories: the jobs, in the order in which they start.
        slots: where the jobs run.
        options: how each job runs.
        watch: called a few times a second, and after an interrupt with what the launcher waits for.
        say: prints a line for the user.

    Returns:
        the reason of each failure that could not be written to its job directory.

    Raises:
        DeviceError: torch can no longer compute on any of the GPUs.
    """
    pool = _Pool(deque(directories), list(reversed(slots)), options, say)
    try:
        while pool.waiting or pool.running:
            pool.require_slots()
            pool.fill()
            time.sleep(POLL_SECONDS)
            pool.look()
            watch()
    finally:
        try:
            pool.stop(watch)
        finally:
            pool.template.close()
    return pool.last_words


class _Pool:
    def __init__(
        self, waiting: deque[JobDirectory], free: list[Slot], options: Options, say: Callable[[str], None]
    ) -> None:
        self.waiting, self.free, self.options, self.say = waiting, free, options, say
        self.running: list[tuple[Slot, Supervisor]] = []
        self.lost: list[tuple[Slot, Supervisor]] = []  # slots whose worker cannot be killed
        self.last_words: dict[JobDirectory, str] = {}
        self._held: dict[JobDirectory, Supervisor] = {}
        self._next_try = 0.0
        on_gpu = any(dict(slot.environment).get("CUDA_VISIBLE_DEVICES") for slot in free)
        self.template = Template({**KEEP_BUFFERS, **os.environ, **dict(free[0].environment)})
        self._start: Start = Child if on_gpu else self.template.start  # CUDA does not survive a fork

    def fill(self) -> None:
        """Start waiting jobs while a slot is free; a job that another process holds is tried again later."""
        if AWAKE() < self._next_try:
            return
        for _ in range(len(self.waiting)):
            if not self.free:
                return
            directory = self.waiting.popleft()
            supervisor = self._held.pop(directory, None) or Supervisor(directory, self.options, self._start)
            started = supervisor.start(dict(self.free[-1].environment))
            if started == "started":
                self.running.append((self.free.pop(), supervisor))
            elif started == "held":
                self.waiting.append(directory)
                self._held[directory] = supervisor
            else:
                self._over(supervisor)
        self._next_try = AWAKE() + LOOK_SECONDS

    def look(self) -> None:
        """Look at every running job, and free the slots of those that have ended."""
        for slot, supervisor in list(self.running):
            if supervisor.watch():
                continue
            self.running.remove((slot, supervisor))
            self._next_try = 0.0
            if supervisor.stuck:
                self._lose(slot, supervisor)
                continue
            if slot.gpus and (lost := _lost_gpu(supervisor.directory)):
                self.say(f"{slot.name} is left out of the rest of the run: {lost}")
                self.waiting.appendleft(supervisor.directory)
                continue
            self.free.append(slot)
            if supervisor.is_held():
                self.waiting.append(supervisor.directory)  # another runner has taken it over
                self._held[supervisor.directory] = supervisor
            else:
                self._over(supervisor)

    def _lose(self, slot: Slot, supervisor: Supervisor) -> None:
        """Take a slot out of use, because its worker cannot be killed."""
        self.lost.append((slot, supervisor))
        self._over(supervisor)
        left = len(self.free) + len(self.running)
        self.say(
            f"{' and '.join(supervisor.stuck)} of {supervisor.directory.path} cannot be killed: its place is given up, "
            f"{left} of {left + len(self.lost)} are left"
        )

    def _take_slots_back(self) -> None:
        """Use a slot again whose worker has ended at last."""
        for slot, supervisor in [each for each in self.lost if each[1].is_gone()]:
            self.lost.remove((slot, supervisor))
            self.free.append(slot)

    def _end_without_slots(self) -> None:
        """Give up the waiting jobs, because no slot is left."""
        self.say(f"no place is left to run jobs on: {len(self.waiting)} of them are not started")
        for directory in self.waiting:
            self.last_words[directory] = (
                "not started: no worker that had a place could be killed; run the same command again"
            )
        self.waiting.clear()

    def require_slots(self) -> None:
        """Check that jobs can still start, and give them up if they cannot.

        Raises:
            DeviceError: no slot has a GPU that works.
        """
        self._take_slots_back()
        if not self.waiting or self.free or self.running:
            return
        if not self.lost:
            raise DeviceError("no GPU is left that torch can compute on; mend that, and run the same command to go on")
        self._end_without_slots()

    def stop(self, watch: Watch = unwatched) -> None:
        """Have all running jobs save and end, and show how long that may take."""
        for _, supervisor in self.running:
            supervisor.stop()
        until = time.monotonic() + self.options.grace_seconds
        try:
            while self.running:
                with suppress(OSError):  # the terminal may be gone; jobs are saved nevertheless
                    watch(saving(len(self.running), until - time.monotonic()))
                time.sleep(POLL_SECONDS)
                self.look()
        finally:  # a second interrupt does not wait
            left = [supervisor for _, supervisor in self.running]
            for supervisor in left:
                supervisor.kill()
            until = time.monotonic() + LONGEST_KILL_SECONDS
            while not all(supervisor.is_gone() for supervisor in left) and time.monotonic() < until:
                time.sleep(POLL_SECONDS)

    def _over(self, supervisor: Supervisor) -> None:
        if supervisor.last_words:
            self.last_words[supervisor.directory] = supervisor.last_words


def _lost_gpu(directory: JobDirectory) -> str | None:
    """Return why the last attempt did not start, if it did not find the GPU of its slot."""
    with suppress(OSError):
        attempts = directory.attempts()
        end = attempts[-1].ended() if attempts else None
        return end.reason if end is not None and end.returncode == EX_NOT_STARTED else None
    return None
