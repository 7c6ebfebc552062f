"""One job in one place: its worker is started, watched, ended where it hangs, and started again as the policy says.

Every launcher supervises with this, so a job fares the same on a laptop, on Ray and on Slurm. All that is known of a
job stands in its directory: a supervisor that is killed leaves nothing behind that the next one would need.
"""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.writing import is_there
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import EX_PREEMPTED, End, EndKind, decide, pause_after
from asrnn_bench.jobs.handover import ATTEMPT_VARIABLE, KEEP_BUFFERS, LONGEST_START_SECONDS, STOP_SIGNALS, Rank
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.ranks import ASK_SIGNAL, end_ranks, rank_command
from asrnn_bench.supervising.exit_status import explain
from asrnn_bench.supervising.heartbeat import AWAKE, Heartbeat
from asrnn_bench.supervising.out_of_memory import OomWatch
from asrnn_bench.supervising.processes import (
    Child,
    Process,
    Start,
    describe,
    free_port,
    processor_seconds,
    worker_words,
)

Started = Literal["started", "held", "over"]

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
RANK_GRACE_SECONDS = 10.0
"""What the other ranks have, once one has ended, to end by themselves and say why."""

LONGEST_DEATH_SECONDS = 30.0
"""How long a process may take to be gone after it was killed; freeing much memory or a GPU takes seconds."""


class Supervisor:
    """Keeps one job going, without waiting for it: whoever owns it calls :meth:`watch` a few times a second.

    What cannot be read of the directory just now is looked at again; no error of a file system leaves this class.

    Args:
        directory: the job's.
        options: how it is run.
        start: how its worker is started; by default as a program of its own.
    """

    def __init__(self, directory: JobDirectory, options: Options, start: Start = Child) -> None:
        self.directory, self.options, self._start = directory, options, start
        self._place: Mapping[str, str] = {}
        self.last_words = ""  # where the directory itself could not be written to
        self.stuck: list[str] = []  # processes that cannot be killed: what they run on is lost
        self._pulse = Heartbeat(directory)  # of whoever has the job in hand
        self._stopping = False
        self._attempt: Attempt | None = None
        self._processes: list[Process] = []
        self._ended_for: tuple[EndKind, str] | None = None  # why this supervisor ended the worker
        self._first_code: int | None = None  # of the first process that ended; the others end because of it
        self._deadline: float | None = None
        self._killed_at: float | None = None
        self._swept = False  # what the processes of the attempt left behind was killed
        self._next_start: float | None = None  # of an attempt that is due after a pause
        self._in_trouble: float | None = None  # since when the directory cannot be read
        self._oom = OomWatch()
        self._processor_seconds: list[float] = []
        self._began = self._looked = AWAKE()
        self._spent = 0.0

    def start(self, place: Mapping[str, str]) -> Started:
        """Start the next attempt.

        Args:
            place: the variables that keep its worker where it is to run, beside this process's own environment.

        Returns:
            ``started``; ``held`` where another process has the job in hand, or the directory cannot be read just now;
            ``over`` where there is nothing to do.
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
            for words, environment, log in self._commands(attempt):
                self._processes.append(self._start(words, environment, log))
        except (OSError, UsageError) as error:
            return self._could_not_start(attempt, error)
        return "started"

    def _is_held(self) -> bool:
        """Return whether another process has the job; one on another host that shows no life for long has not."""
        holder = self.directory.holder()
        if holder is None or holder.is_own() or holder.was_requeued():
            return False
        return self._pulse.still_for() <= self.options.hang_seconds

    def is_held(self) -> bool:
        """Return whether the job, which is not this process's, may yet be: another process has it, or may have it."""
        try:
            return not self._stopping and not self.directory.is_done() and self._is_held()
        except OSError as error:
            return self._can_be_waited_out(error)

    def _can_be_waited_out(self, error: OSError) -> bool:
        """Return whether to look again at a directory that could not be read; if not, note why as the last words."""
        if self._in_trouble is None:
            self._in_trouble = AWAKE()
        if is_passing(error) and not self._stopping and AWAKE() - self._in_trouble <= self.options.hang_seconds:
            return True
        self.last_words = f"its directory cannot be used: {error}"
        return False

    def _commands(self, attempt: Attempt) -> list[tuple[list[str], dict[str, str], Path]]:
        """Return command, environment and log of each process of an attempt."""
        words = worker_words(self.directory.path)
        shared = {**KEEP_BUFFERS, **os.environ, **self.options.environment(), **self._place}
        shared[ATTEMPT_VARIABLE] = str(attempt.number)
        count, port = self.options.devices_per_job, str(free_port())
        if self.options.nodes_per_job > 1:
            address = {"MASTER_ADDR": os.uname().nodename, "MASTER_PORT": port}
            return [(rank_command(self.options) + words, shared | address, attempt.log)]
        if count == 1:
            return [(words, shared, attempt.log)]
        ranks = [Rank(number, number, 0, count) for number in range(count)]
        logs = [attempt.log, *(attempt.path / f"worker.rank-{number}.log" for number in range(1, count))]
        return [
            (words, shared | rank.environment("127.0.0.1", int(port)), log)
            for rank, log in zip(ranks, logs, strict=True)
        ]

    def watch(self) -> bool:
        """Look after the attempt; return whether there is still something to watch."""
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
                self._kill()  # what it started meanwhile, too
        elif self._deadline is not None and now >= self._deadline:
            self._kill()
        elif self._ended_for is None and is_time:
            self._looked = now
            if not ended:
                self._oom.look(now)
            self._look()
        return True

    def _has_result(self) -> bool:
        """Return whether there is a result, as far as that can be seen just now."""
        with suppress(OSError):
            return self.directory.is_done()
        return False

    def _look(self) -> None:
        """End an attempt that does not move, or that has had its time."""
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
        """Return how long nothing moved; before a worker's first word, processor time that it takes is a movement."""
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
            process.ask(ASK_SIGNAL if self.options.nodes_per_job > 1 else signal.SIGTERM)

    def kill(self) -> None:
        """End everything at once, without waiting: :meth:`is_gone` tells when it has ended."""
        self._stopping = True
        self._kill()

    def is_gone(self) -> bool:
        """Return whether no process of the attempt is left."""
        return all(process.poll() is not None for process in self._processes)

    def _kill(self) -> None:
        if self._killed_at is None:
            self._killed_at = AWAKE()
            if self.options.nodes_per_job > 1:
                for process in self._processes:
                    end_ranks(process)
        for process in self._processes:
            process.end()

    def _give_up_on(self, left: list[Process]) -> None:
        """Leave processes alone that cannot be killed, and say so as the end of the attempt."""
        self._stopping = True
        self.stuck = [describe(process) for process in left]
        kind, reason = self._ended_for or ("killed", "another process of the job ended")
        reason = f"{reason}; then {' and '.join(self.stuck)} could not be killed"
        self.last_words = reason
        if self._attempt is not None:
            with suppress(OSError):
                self._attempt.write_end(self._new_end(-signal.SIGKILL, kind, reason), insist=True)

    def _finish(self, codes: list[int]) -> bool:
        """Write down how the attempt ended, and go on as the policy says."""
        if not self._swept:
            self._swept = True
            for process in self._processes:
                process.end()  # what a model's code started and left behind
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
        """Do what the policy says after an attempt's end; return whether there is something to watch."""
        ends = self.directory.ends() or [end]
        verdict, reason = decide(ends, self.options.retries), ends[-1].reason
        with suppress(OSError):
            if verdict == "again":
                self.directory.wait(f"again, as attempt {attempt.number} ended so: {reason}")
            elif ends[-1].kind == "preempted":  # which by itself means that it waits
                self.directory.skip("failed", f"preempted again and again without getting any further: {reason}")
        if verdict != "again":
            return False
        self._next_start = AWAKE() + pause_after(ends)
        return self._start_again()

    def _start_again(self) -> bool:
        """Start the attempt that is due, when its pause is over; return whether there is something to watch."""
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
        # Where a rank was killed, the others only saw their connection break.
        killed_rank = self.options.world_size > 1 and (code < 0 or code > 128) and self._ended_for is None
        attempt.write_end(end, details, insist=kind in ("hang", "time-limit") or killed_rank)
        return end

    def _new_end(self, code: int, kind: EndKind, reason: str) -> End:
        return End(code, kind, reason, self.directory.saved_step(), AWAKE() - self._began)

    def _could_not_start(self, attempt: Attempt, error: Exception) -> Started:
        """Write down why no worker could be started; where that passes, the next attempt is due after a pause."""
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


def _say_in_log(line: str) -> None:
    sys.stderr.write(line + "\n")


def supervise(
    path: str,
    options: Options,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = _say_in_log,
) -> int:
    """Run one job until it is settled or this process is asked to stop; return 0 or 75.

    Settled means that it has a result, or failed for good: its directory says which.

    Args:
        path: the job directory.
        options: how to run it.
        environment: what the worker gets beside this process's own environment.
        say: takes what the job directory could not be made to say; written to the standard error output by default.

    Raises:
        UsageError: there is no job in ``path``.
    """
    directory = JobDirectory(Path(path))
    if not wait_out(lambda: is_there(directory.path / "job.json")):
        raise UsageError(f"{path} is no job directory on this host: jobs and workers need a shared file system")
    supervisor = Supervisor(directory, options)
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (*STOP_SIGNALS, signal.SIGINT)}
    try:
        _keep_going(supervisor, environment or {}, asked)
    except BaseException:
        supervisor.kill()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if supervisor.last_words:
        say(supervisor.last_words)
    if not asked:
        return 0
    settled = wait_out(lambda: directory.is_done() or directory.is_given_up(options.retries))
    return 0 if settled else EX_PREEMPTED


def _keep_going(supervisor: Supervisor, place: Mapping[str, str], asked: list[int]) -> None:
    """Run a job to its end, or until a signal came and its worker has ended."""
    while (started := supervisor.start(place)) != "over" and not (started == "held" and asked):
        while started == "started" and supervisor.watch():
            if asked:
                supervisor.stop()
            time.sleep(POLL_SECONDS)
        if started == "held":
            time.sleep(LOOK_SECONDS)
        elif not supervisor.is_held():
            break
