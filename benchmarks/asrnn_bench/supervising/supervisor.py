"""Supervise one job: start its worker, watch it, end it if it hangs, and start it again if the rules say so.

Every launcher uses this class, so a job is treated alike on a laptop, on Ray and on Slurm. The state of a job is in its
directory alone: if a supervisor is killed, the next one needs nothing else.
"""

import math
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End, EndKind, decide, pause_after
from asrnn_bench.jobs.handover import LONGEST_START_SECONDS
from asrnn_bench.jobs.options import Options
from asrnn_bench.supervising.commands import worker_commands
from asrnn_bench.supervising.exit_status import explain
from asrnn_bench.supervising.heartbeat import AWAKE, Heartbeat
from asrnn_bench.supervising.out_of_memory import OomWatch
from asrnn_bench.supervising.processes import Child, Process, Start, describe, processor_seconds

Started = Literal["started", "held", "over"]

LOOK_SECONDS = 1.0
RANK_GRACE_SECONDS = 10.0
"""How long the other ranks have, after one has ended, to end by themselves and say why."""

LONGEST_DEATH_SECONDS = 30.0
"""How long a process may take to be gone after it was killed; freeing much memory or a GPU takes seconds."""


class Supervisor:
    """Keep one job going without waiting for it: its owner calls :meth:`watch` a few times a second.

    A directory that cannot be read for a moment is read again later. No error of a file system leaves this class.

    Args:
        directory: the job directory.
        options: how the job is run.
        start: starts each process of an attempt; by default as a program of its own.
    """

    def __init__(self, directory: JobDirectory, options: Options, start: Start = Child) -> None:
        self.directory, self.options, self._start = directory, options, start
        self._place: Mapping[str, str] = {}
        self.last_words = ""  # if they could not be written to the directory
        self.stuck: list[str] = []  # processes that cannot be killed: their device is lost
        self._pulse = Heartbeat(directory)  # of the process that has the job now
        self._stopping = False
        self._attempt: Attempt | None = None
        self._processes: list[Process] = []
        self._ended_for: tuple[EndKind, str] | None = None  # why this supervisor ended the worker
        self._first_code: int | None = None  # of the process that ended first; the others end because of it
        self._deadline: float | None = None
        self._killed_at: float | None = None
        self._swept = False  # processes that the attempt left behind were killed
        self._next_start: float | None = None  # of an attempt that is due after a pause
        self._in_trouble: float | None = None  # the time since which the directory cannot be read
        self._oom = OomWatch()
        self._processor_seconds: list[float] = []
        self._began = self._looked = AWAKE()
        self._spent = 0.0

    def start(self, place: Mapping[str, str]) -> Started:
        """Start the next attempt.

        Args:
            place: environment variables that keep the worker on its device or cores.

        Returns:
            ``started``; ``held`` if another process has the job, or if the directory cannot be read now; ``over`` if
            there is nothing to do.
        """
        self._place = place
        try:
            started = self._start_now()
        except OSError as error:
            return "held" if self._can_be_waited_out(error) else "over"
        self._in_trouble = None
        return started

    def _start_now(self) -> Started:
        if self._stopping or self.directory.is_done():
            return "over"
        if self._is_held():
            return "held"
        if self.directory.is_given_up(self.options.retries):
            return "over"
        spent = sum(end.seconds for end in self.directory.ends())
        attempt = self.directory.try_claim()
        if attempt is None:
            return "held"
        self._attempt, self._spent = attempt, spent
        self._ended_for = self._deadline = self._first_code = self._killed_at = self._next_start = None
        self._processes, self._processor_seconds, self._swept = [], [], False
        self._began = self._looked = AWAKE()
        self._oom = OomWatch()
        self._oom.look(self._began)
        self._pulse = Heartbeat(self.directory, attempt=attempt)
        try:
            for command in worker_commands(self.directory.path, attempt, self.options, place=self._place):
                self._processes.append(self._start(*command))
        except (OSError, UsageError) as error:
            return self._could_not_start(attempt, error)
        return "started"

    def _is_held(self) -> bool:
        """Return whether another process has the job. One on another host loses it after a time without progress."""
        holder = self.directory.holder()
        if holder is None or holder.is_own() or holder.was_requeued():
            return False
        return self._pulse.still_for() <= self.options.hang_seconds

    def is_held(self) -> bool:
        """Return whether another process has the job, or may have it, so that this one may still get it."""
        try:
            return not self._stopping and not self.directory.is_done() and self._is_held()
        except OSError as error:
            return self._can_be_waited_out(error)

    def _can_be_waited_out(self, error: OSError) -> bool:
        """Return whether to read the directory again later; if not, keep the reason as the last words."""
        if self._in_trouble is None:
            self._in_trouble = AWAKE()
        if is_passing(error) and not self._stopping and AWAKE() - self._in_trouble <= self.options.hang_seconds:
            return True
        self.last_words = f"its directory cannot be used: {error}"
        return False

    def watch(self) -> bool:
        """Watch the attempt, and return whether there is still something to watch."""
        if self._next_start is not None:
            return self._start_again()
        codes = [process.poll() for process in self._processes]
        if any(code is None for code in codes):
            return self._watch_running(codes)
        try:
            goes_on = self._finish([code for code in codes if code is not None])
        except OSError as error:
            return self._can_be_waited_out(error)
        self._in_trouble = None
        return goes_on

    def _watch_running(self, codes: list[int | None]) -> bool:
        now = AWAKE()
        ended = [code for code in codes if code is not None]
        if ended and self._first_code is None and (any(ended) or self._has_result()):
            self._first_code = min(ended) if min(ended) < 0 else max(ended)
            self._deadline = min(self._deadline or math.inf, now + RANK_GRACE_SECONDS)
        if self._killed_at is not None and now - self._killed_at > LONGEST_DEATH_SECONDS:
            self._give_up_on([each for each, code in zip(self._processes, codes, strict=True) if code is None])
            return False
        is_time = now - self._looked >= self.options.look_seconds
        if self._killed_at is not None:
            if is_time:
                self._looked = now
                self._kill()  # again: it may have started processes since
        elif self._deadline is not None and now >= self._deadline:
            self._kill()
        elif self._ended_for is None and is_time:
            self._looked = now
            if not ended:
                self._oom.look(now)
            self._look()
        return True

    def _has_result(self) -> bool:
        """Return whether there is a result, as far as the directory can be read now."""
        with suppress(OSError):
            return self.directory.is_done()
        return False

    def _look(self) -> None:
        """End an attempt that makes no progress, or whose time is over."""
        limit = self.options.time_limit_seconds
        still = self._still_for()
        if still > self.options.hang_seconds:
            self._end("hang", f"nothing moved for {still:.0f} s, which is more than --hang-after allows")
        elif limit is not None and self._spent + AWAKE() - self._began > limit:
            self._end(
                "time-limit",
                f"the time limit of {limit:.0f} s is over; a larger --time-limit with --retry-failed goes on",
            )

    def _still_for(self) -> float:
        """Return the seconds without progress. Before a worker's first report, processor time counts as progress."""
        if not self._pulse.has_moved and AWAKE() - self._began < LONGEST_START_SECONDS:
            taken = [processor_seconds(process) for process in self._processes]
            if taken != self._processor_seconds:
                self._processor_seconds = taken
                self._pulse.restart()
        return self._pulse.still_for()

    def stop(self) -> None:
        """Ask the worker to save and end, and start no other attempt."""
        if not self._stopping:
            self._stopping = True
            self._end("preempted", "asked to stop")

    def _end(self, kind: EndKind, reason: str) -> None:
        self._ended_for = (kind, reason)
        self._deadline = AWAKE() + self.options.grace_seconds
        for process in self._processes:
            process.ask(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all processes at once and do not wait; :meth:`is_gone` says when they are gone."""
        self._stopping = True
        self._kill()

    def is_gone(self) -> bool:
        """Return whether no process of the attempt is left."""
        return all(process.poll() is not None for process in self._processes)

    def _kill(self) -> None:
        if self._killed_at is None:
            self._killed_at = AWAKE()
        for process in self._processes:
            process.end()

    def _give_up_on(self, left: list[Process]) -> None:
        """Leave processes that cannot be killed, and record that as the end of the attempt."""
        self._stopping = True
        self.stuck = [describe(process) for process in left]
        kind, reason = self._ended_for or ("killed", "another process of the job ended")
        reason = f"{reason}; then {' and '.join(self.stuck)} could not be killed"
        self.last_words = reason
        if self._attempt is not None:
            with suppress(OSError):
                self._attempt.write_end(self._new_end(-signal.SIGKILL, kind, reason), insist=True)

    def _finish(self, codes: list[int]) -> bool:
        """Record how the attempt ended, and do what follows from it."""
        if not self._swept:
            self._swept = True
            for process in self._processes:
                process.end()  # processes that a model's code started and left behind
        if self._attempt is None:
            return False
        if self.directory.is_done():
            self.directory.clear(keep_checkpoints=self.options.keep_checkpoints)
            return False
        try:
            end = self._write_end(self._attempt, codes)
        except OSError as error:
            if is_passing(error):
                raise
            self.last_words = f"its end could not be written: {error}"
            return False
        return not self._stopping and self._go_on_after(self._attempt, end)

    def _go_on_after(self, attempt: Attempt, end: End) -> bool:
        """Do what follows from the end of an attempt, and return whether there is something to watch."""
        ends = self.directory.ends() or [end]
        verdict, reason = decide(ends, self.options.retries), ends[-1].reason
        with suppress(OSError):
            if verdict == "again":
                self.directory.wait(f"again, as attempt {attempt.number} ended so: {reason}")
            elif ends[-1].kind == "preempted":  # without this line it would count as waiting
                self.directory.skip("failed", f"preempted again and again without getting any further: {reason}")
        if verdict != "again":
            return False
        self._next_start = AWAKE() + pause_after(ends)
        return self._start_again()

    def _start_again(self) -> bool:
        """Start the next attempt when its pause is over, and return whether there is something to watch."""
        if self._stopping:
            return False
        if self._next_start is not None and AWAKE() < self._next_start:
            return True
        started = self.start(self._place)
        if started == "held" and self._in_trouble is not None:
            self._next_start = AWAKE() + LOOK_SECONDS
            return True
        return started == "started"

    def _write_end(self, attempt: Attempt, codes: list[int]) -> End:
        first = self._first_code
        code = first if first is not None else min(codes)
        kind, reason = self._ended_for or explain(attempt, code, memory_ran_out=self._oom.ran_out())
        end = self._new_end(code, kind, reason)
        said = self.directory.progress([attempt])
        details = {name: said.get(name) for name in ("step", "memory_mib")}
        # If a rank was killed, the other ranks know only that their connection broke.
        killed_rank = self.options.world_size > 1 and (code < 0 or code > 128) and self._ended_for is None
        attempt.write_end(end, details, insist=kind in ("hang", "time-limit") or killed_rank)
        return end

    def _new_end(self, code: int, kind: EndKind, reason: str) -> End:
        return End(code, kind, reason, self.directory.saved_step(), AWAKE() - self._began)

    def _could_not_start(self, attempt: Attempt, error: Exception) -> Started:
        """Record why no worker could be started; if the cause may pass, schedule the next attempt after a pause."""
        self._kill()
        reason = f"the worker could not be started: {error}"
        self.last_words = reason
        with suppress(OSError):
            attempt.write_end(self._new_end(0, "disk" if is_passing(error) else "not-started", reason))
            ends = self.directory.ends()
            if is_passing(error) and decide(ends, self.options.retries) == "again":
                self.last_words = ""
                self._processes = []
                self._next_start = AWAKE() + pause_after(ends)
                return "started"
        return "over"
