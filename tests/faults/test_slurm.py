"""Test a real Slurm of two nodes on this machine: each job has one result, whatever ends its attempts."""

import csv
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psutil
import pytest
from bench_support import call
from search_records import SEARCHED
from slurm_support import Cluster, cluster, slow_jobs
from waiting import wait_until

from asrnn.errors import UsageError
from asrnn_bench.files.writing import read_object
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.slurm.running import run_slurm
from asrnn_bench.launching.slurm.sbatch_options import SbatchOptions

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("slurm"),  # its ports are fixed, so there is one at a time
]

JOBS, STEPS = 8, 220
"""Long enough that the notice ahead of a time limit, which Slurm looks for twice a minute, finds the job training."""

OPTIONS = Options(checkpoint_seconds=5.0, hang_seconds=120.0)
MEMORY = "mem=900M"
SEND_USER_SIGNAL = "SlurmctldParameters=preempt_send_user_signal"


class Runner:
    """``run_slurm`` in a thread, which can be interrupted as by Ctrl-C."""

    def __init__(self, directories: Sequence[JobDirectory], *words: str, options: Options = OPTIONS) -> None:
        self.lines: list[tuple[float, str]] = []
        self._interrupted = Event()
        sbatch_options = SbatchOptions.parse(words or [MEMORY])
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(run_slurm, directories, options, sbatch_options, self._watch, self._say)

    def _watch(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt

    def _say(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    def said(self, pattern: str) -> list[tuple[float, str]]:
        """The first group of each line that was said and matches, with its time."""
        if self._future.done():
            self._future.result()
        found = ((moment, re.search(pattern, line)) for moment, line in self.lines)
        return [(moment, matched[1]) for moment, matched in found if matched]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._interrupted.set()
        with pytest.raises(KeyboardInterrupt):
            self._future.result(30)

    def finish(self, meanwhile: Callable[[], None], seconds: float) -> None:
        """Wait until it returns."""

        def over() -> bool:
            meanwhile()
            return self._future.done()

        wait_until(over, f"the run to end, which said {self.lines}", seconds)
        self._future.result()

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *error: object) -> None:
        self._interrupted.set()  # no thread is left behind
        self._pool.shutdown()


def _supervisor(directory: JobDirectory) -> psutil.Process:
    return psutil.Process(read_object(directory.attempts()[-1].path / "claim.json")["pid"])


def _trains(directory: JobDirectory) -> bool:
    return int(directory.progress().get("step") or 0) >= 5


def _hurry(slurm: Cluster) -> None:
    """Start now what was requeued: Slurm lets it wait for two minutes."""
    for line in slurm.ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i|%r").splitlines():
        number, _, reason = line.partition("|")
        if reason == "BeginTime":
            slurm.ask("scontrol", "update", f"jobid={number}", "StartTime=now")


def test_each_job_has_one_result_whatever_ends_its_attempts(tmp_path: Path) -> None:
    directories = slow_jobs(tmp_path, JOBS, STEPS)
    with cluster(False) as slurm:
        with Runner(directories) as runner:
            wait_until(lambda: runner.said(r"^submitted to Slurm as (\d+): 8 jobs"), "the submission")
            number = runner.said(r"Slurm as (\d+)")[0][1]
            wait_until(lambda: all(map(_trains, directories)), "all jobs to train", 240)
            runner.interrupt()
            assert f"scancel {number} ends them" in runner.lines[-1][1]
        with Runner(directories) as runner:
            wait_until(lambda: runner.said(r"^in Slurm already, .*: (8) jobs"), "the second runner to find them")
            assert not runner.said("^(submitted to)")
            _disturb(slurm, runner, directories, number)
            runner.finish(lambda: _hurry(slurm), 400)
        _check_results(directories)
        for index in (4, 5):  # told to stop while Slurm counted them as running: they queued themselves again
            assert int(slurm.show(f"{number}_{index}")["Restarts"]) > 0
        _check_a_finished_job_that_is_requeued(slurm, directories[7], f"{number}_7")


def _disturb(slurm: Cluster, runner: Runner, directories: list[JobDirectory], number: str) -> None:
    """End each of the first jobs in a way of its own, and some by the loss of a node and by jobs that come first."""
    slurm.ask("sbatch", "-p", "high", "-w", "n2", "-c", "1", "--mem=100M", "-o", "/dev/null", "--wrap", "sleep 1")
    _supervisor(directories[0]).children()[0].kill()
    slurm.ask("scancel", f"{number}_1")
    slurm.ask("scontrol", "requeue", f"{number}_2")
    _supervisor(directories[3]).kill()
    began = time.monotonic()
    slurm.ask("scancel", "--signal=USR2", f"{number}_4")
    minutes = int(slurm.show(f"{number}_5")["RunTime"].split(":")[1])
    slurm.ask("scontrol", "update", f"jobid={number}_5", f"TimeLimit={minutes + 2}")  # within the two minutes of notice
    wait_until(lambda: len(directories[0].attempts()) > 1, "another worker in the place of the killed one")
    slurm.ask("scontrol", "update", "nodename=n1", "state=down", "reason=test")
    wait_until(lambda: slurm.resumes("n1"), "the node to come back")
    pattern = r"^left Slurm without a result \((?:CANCELLED|FAILED)\), and submitted again: (\d) job"
    wait_until(lambda: sum(int(count) for _, count in runner.said(pattern)) >= 2, "what Slurm lost", 60)
    assert runner.said(pattern)[-1][0] - began < 30.0

    def has_more_time() -> bool:
        if slurm.show(f"{number}_5")["Restarts"] == "0":
            _hurry(slurm)
            return False
        slurm.ask("scontrol", "update", f"jobid={number}_5", "TimeLimit=60")
        return True

    wait_until(has_more_time, "the notice ahead of the time limit")  # without more, it would come again and again


def _check_results(directories: list[JobDirectory]) -> None:
    ends = [[attempt.ended() for attempt in directory.attempts()] for directory in directories]
    kinds = [[end.kind if end else None for end in each] for each in ends]
    assert [directory.state() for directory in directories] == [("done", None)] * JOBS
    assert all(each[-1] == "done" for each in kinds), kinds
    assert kinds[0][0] == kinds[3][0] == "killed", kinds
    # None: Slurm gave it less time to save than it took, and started the next attempt itself.
    assert all(each[0] in ("preempted", None) for each in (kinds[1], kinds[2], kinds[4], kinds[5])), kinds
    for directory in directories:
        assert (
            len(list(directory.path.glob("**/result.json"))) == 2
        )  # the published one, and its attempt's own name for it
        record = directory.result()
        assert record is not None
        assert record.attempt == len(directory.attempts())
        resumed = read_object(directory.attempts()[-1].path / "start.json")["resumed_from"]
        assert resumed == "scratch" or len(directory.attempts()) > 1


def _check_a_finished_job_that_is_requeued(slurm: Cluster, directory: JobDirectory, number: str) -> None:
    """A job that ends while Slurm preempts it starts a second time: it sees its result and ends at once."""
    before = (directory.path / "result.json").read_bytes(), len(directory.attempts())
    restarts = int(slurm.show(number)["Restarts"])
    slurm.ask("scontrol", "requeue", number)

    def again() -> bool:
        _hurry(slurm)
        said = slurm.show(number)
        return int(said["Restarts"]) > restarts and said["JobState"] == "COMPLETED"

    wait_until(again, "the second start to end", 60)
    hours, minutes, seconds = map(int, slurm.show(number)["RunTime"].split(":"))
    assert 3600 * hours + 60 * minutes + seconds < 5
    assert ((directory.path / "result.json").read_bytes(), len(directory.attempts())) == before


def test_a_job_that_is_preempted_with_a_signal_requeues_itself(tmp_path: Path) -> None:
    """With accounting and ``preempt_send_user_signal``; all else is as without."""
    (directory,) = slow_jobs(tmp_path, 1, 60)
    high = ["sbatch", "-p", "high", "-c", "4", "--mem=100M", "-o", "/dev/null", "--wrap", "sleep 3"]
    with cluster(True, SEND_USER_SIGNAL) as slurm, Runner([directory]) as runner:
        wait_until(lambda: _trains(directory), "the job to train", 240)
        slurm.ask(*high, "-w", slurm.show(runner.said(r"Slurm as (\d+)")[0][1])["NodeList"])
        runner.finish(lambda: _hurry(slurm), 400)
    ends = [attempt.ended() for attempt in directory.attempts()]
    assert [end.kind for end in ends if end] == ["preempted", "done"], ends
    assert ends[0] is not None
    assert ends[0].saved_step > 0


def test_a_submission_without_an_answer_is_found_and_a_job_without_its_gpu_does_not_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = slow_jobs(tmp_path, 2, 20)
    sbatch = shutil.which("sbatch")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(
        f'#!/bin/sh\n{sbatch} "$@" >/dev/null\necho "Socket timed out on send/recv operation" >&2\nexit 1\n'
    )
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SQUEUE_PARTITION", "high")  # the user's own filter
    with cluster(False), Runner(directories, MEMORY, "gres=gpu:1") as runner:
        runner.finish(lambda: None, 240)
    assert len(runner.said("(did not say whether it takes 2 jobs)")) == 1
    assert not runner.said("(submitted again)")
    for directory in directories:
        (end,) = directory.ends()
        assert end.kind == "not-started"
        assert end.reason.startswith("1 GPU promised to this job on ")


def test_a_refusal_and_the_reason_for_waiting_are_printed(tmp_path: Path) -> None:
    directories = slow_jobs(tmp_path, 2, 20)
    with cluster(False) as slurm:
        with pytest.raises(UsageError, match="Slurm refuses the jobs: .*Invalid partition name specified"):
            run_slurm(directories, OPTIONS, SbatchOptions.parse(["partition=nowhere", MEMORY]))
        assert not list((tmp_path / "runs" / ".slurm").iterdir())
        slurm.ask("scontrol", "update", "partitionname=high", "state=down")
        with Runner(directories, MEMORY, "partition=high") as runner:
            wait_until(lambda: runner.said(r"^waiting in Slurm, which says (PartitionDown): 2 jobs"), "the reason")


def test_one_job_on_two_nodes(tmp_path: Path) -> None:
    (directory,) = slow_jobs(tmp_path, 1, 30)
    options = OPTIONS.model_copy(update={"nodes_per_job": 2})
    with cluster(False) as slurm, Runner([directory], options=options) as runner:
        wait_until(lambda: _trains(directory), "the job to train", 240)
        number = runner.said(r"Slurm as (\d+)")[0][1]
        assert slurm.show(number)["NumNodes"] == "2"
        slurm.ask("scancel", "--signal=USR2", number)
        runner.finish(lambda: _hurry(slurm), 400)
    assert [end.kind for attempt in directory.attempts() if (end := attempt.ended())] == ["preempted", "done"]


def test_a_search_runs_its_rungs_as_arrays(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SEARCHED.replace("trials = 5", "trials = 2"))
    words = ("search", "--suite", "tiny.toml", "--models", "rnn", "--launcher", "slurm", "--slurm-option", MEMORY)
    with cluster(False):
        ended = call(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "submitted to Slurm" in ended.stdout + ended.stderr
    with (tmp_path / "runs" / "search" / "tiny.rnn.trials.csv").open(newline="") as file:
        trials = [row for row in csv.DictReader(file) if row["model"] == "rnn"]
    assert {row["rung"] for row in trials} == {"3", "6", "12"}
    assert all(row["status"] == "done" for row in trials)
