"""One job in one place: its worker is started, watched, ended where it hangs, and started again as the policy says.

Every launcher supervises with this, so a job fares the same on a laptop, on Ray and on Slurm. All that is known of a
job stands in its directory: a supervisor that is killed leaves nothing behind that the next one would need.
"""

import math
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Literal

from asrnn.errors import UsageError
from asrnn_bench.running.attempts import EX_PREEMPTED, Attempt, End, Kind
from asrnn_bench.running.endings import explain
from asrnn_bench.running.heartbeat import Heartbeat
from asrnn_bench.running.job_directory import JobDirectory
from asrnn_bench.running.launchers.environment import ATTEMPT_VARIABLE, KEEP_BUFFERS
from asrnn_bench.running.launchers.slurm_ranks import ASK_SIGNAL, end_ranks, rank_command
from asrnn_bench.running.oom import oom_kills
from asrnn_bench.running.options import Options
from asrnn_bench.running.policy import decide
from asrnn_bench.running.processes import Child, Process, Start, free_port, worker_words
from asrnn_bench.running.ranks import Rank
from asrnn_bench.running.stopping import STOP_SIGNALS

Started = Literal["started", "held", "over"]

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
RANK_GRACE_SECONDS = 10.0
"""What the other ranks have, once one has ended, to end by themselves and say why."""


class Supervisor:
    """Keeps one job going, without waiting for it: whoever owns it calls :meth:`watch` a few times a second.

    Args:
        directory: the job's.
        options: how it is run.
        start: how its worker is started; by default as a program of its own.
    """

    def __init__(self, directory: JobDirectory, options: Options, start: Start = Child) -> None:
        self.directory, self.options, self._start = directory, options, start
        self._place: Mapping[str, str] = {}
        self.last_words = ""  # where the directory itself could not be written to
        self._pulse = Heartbeat(directory)  # of whoever has the job in hand
        self._stopping = False
        self._attempt: Attempt | None = None
        self._processes: list[Process] = []
        self._ended_for: tuple[Kind, str] | None = None  # why this supervisor ended the worker
        self._first_code: int | None = None  # of the first process that ended; the others end because of it
        self._deadline: float | None = None
        self._spent = 0.0

    def start(self, place: Mapping[str, str]) -> Started:
        """Start the next attempt.

        Args:
            place: the variables that keep its worker where it is to run, beside this process's own environment.

        Returns:
            ``started``; ``held`` where another process has the job in hand; ``over`` where there is nothing to do.
        """
        if self._stopping or self.directory.is_done():
            return "over"
        if self.is_held():
            return "held"
        if self.directory.is_given_up(self.options.retries):
            return "over"
        self._place = place
        self._ended_for = self._deadline = self._first_code = None
        self._processes = []
        try:
            self._attempt = self.directory.try_claim()
            if self._attempt is None:
                return "held"
            self._spent = sum(end.seconds for end in self.directory.ends())
            self._began = self._looked = time.monotonic()
            self._oom_kills = oom_kills()
            self._pulse = Heartbeat(self.directory)
            for words, environment, log in self._commands(self._attempt):
                self._processes.append(self._start(words, environment, log))
        except (OSError, UsageError) as error:
            self._could_not_start(f"the worker could not be started: {error}")
            return "over"
        return "started"

    def is_held(self) -> bool:
        """Return whether another process has the job; one on another host that shows no life for long has not."""
        holder = self.directory.holder()
        if holder is None or holder.is_own() or holder.was_requeued():
            return False
        return self._pulse.still_for() <= self.options.hang_seconds

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
        codes = [process.poll() for process in self._processes]
        if all(code is not None for code in codes):
            return self._finish([code for code in codes if code is not None])
        ended = [code for code in codes if code is not None]
        if ended and self._first_code is None and (any(ended) or self.directory.is_done()):
            self._first_code = min(ended) if min(ended) < 0 else max(ended)
            self._deadline = min(self._deadline or math.inf, time.monotonic() + RANK_GRACE_SECONDS)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._kill()
        elif self._ended_for is None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._look()
        return True

    def _look(self) -> None:
        """End an attempt that does not move, or that has had its time."""
        self._oom_kills = oom_kills()
        limit = self.options.time_limit_seconds
        still = self._pulse.still_for()
        if still > self.options.hang_seconds:
            self._end("hang", f"nothing moved for {still:.0f} s, which is more than --hang-after allows")
        elif limit is not None and self._spent + time.monotonic() - self._began > limit:
            self._end(
                "time-limit",
                f"the time limit of {limit:.0f} s is over; a larger --time-limit with --retry-failed goes on",
            )

    def stop(self) -> None:
        """Ask the worker to save and end, and start no other attempt."""
        if not self._stopping:
            self._stopping = True
            self._end("preempted", "asked to stop")

    def _end(self, kind: Kind, reason: str) -> None:
        self._ended_for = (kind, reason)
        self._deadline = time.monotonic() + self.options.grace_seconds
        for process in self._processes:
            process.ask(ASK_SIGNAL if self.options.nodes_per_job > 1 else signal.SIGTERM)

    def kill(self) -> None:
        """End everything at once."""
        self._stopping = True
        self._kill()

    def _kill(self) -> None:
        for process in self._processes:
            if self.options.nodes_per_job > 1:
                end_ranks(process)
            process.end()

    def _finish(self, codes: list[int]) -> bool:
        """Write down how the attempt ended, and go on as the policy says."""
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
            self.last_words = f"its end could not be written: {error}"
            return False
        if self._stopping:
            return False
        ends = self.directory.ends() or [end]
        verdict, reason = decide(ends, self.options.retries), ends[-1].reason
        with suppress(OSError):
            if verdict == "again":
                self.directory.wait(f"again, as attempt {self._attempt.number} ended so: {reason}")
            elif ends[-1].kind == "preempted":  # which by itself means that it waits
                self.directory.skip("failed", f"preempted again and again without getting any further: {reason}")
        return verdict == "again" and self.start(self._place) == "started"

    def _write_end(self, attempt: Attempt, codes: list[int]) -> End:
        first = self._first_code
        code = first if first is not None else min(codes)
        kind, reason = self._ended_for or explain(attempt, code, memory_ran_out=oom_kills() > self._oom_kills)
        end = End(code, kind, reason, self.directory.saved_step(), time.monotonic() - self._began)
        said = self.directory.progress()
        details = {name: said.get(name) for name in ("step", "memory_mib")}
        # Where a rank was killed, the others only saw their connection break.
        killed_rank = self.options.world_size > 1 and (code < 0 or code > 128) and self._ended_for is None
        attempt.write_end(end, details, insist=kind in ("hang", "time-limit") or killed_rank)
        return end

    def _could_not_start(self, reason: str) -> None:
        """Keep the reason where the directory takes it, and in any case here."""
        self.last_words = reason
        with suppress(OSError):
            if self._attempt is not None:
                self._attempt.write_end(End(0, "not-started", reason, self.directory.saved_step()))
        self._kill()


def supervise(path: str, options: Options, environment: Mapping[str, str] | None = None) -> int:
    """Run one job until it is settled or this process is asked to stop; return 0 or 75.

    Settled means that it has a result, or failed for good: its directory says which.

    Args:
        path: the job directory.
        options: how to run it.
        environment: what the worker gets beside this process's own environment.

    Raises:
        UsageError: there is no job in ``path``.
    """
    directory = JobDirectory(Path(path))
    if not (directory.path / "job.json").exists():
        raise UsageError(f"{path} is no job directory on this host: jobs and workers need a shared file system")
    supervisor = Supervisor(directory, options)
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (*STOP_SIGNALS, signal.SIGINT)}
    try:
        while (started := supervisor.start(environment or {})) != "over" and not (started == "held" and asked):
            while started == "started" and supervisor.watch():
                if asked:
                    supervisor.stop()
                time.sleep(POLL_SECONDS)
            if started == "held":
                time.sleep(LOOK_SECONDS)
            elif not supervisor.is_held():
                break
    except BaseException:
        supervisor.kill()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    return EX_PREEMPTED if asked and not directory.is_done() and not directory.is_given_up(options.retries) else 0
