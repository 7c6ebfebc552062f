"""A finished suite that is run again: nothing is started, and the leaderboards are the same to the byte."""

from pathlib import Path

import pytest
from bench_support import TINY, call, done

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import without_result

SUITE = TINY.replace('["permuted-mnist"]', '["permuted-mnist", "pixel-mnist"]').replace(
    '["rnn"]', '["rnn", "gru", "lstm"]'
)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with a finished run of two seeds, some jobs of which diverged or failed for good."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    for number, job in enumerate(make_plan(load_suite(str(tmp_path / "tiny.toml")), Request(seeds=[0, 1])).jobs):
        directory = JobDirectory.of(tmp_path / "runs", job)
        directory.write_job(job)
        record = done(job, number % 7 / 10)
        if number % 5 == 0:
            lost = without_result(job, "failed", f"the loss became nan at step {number}")
            record = lost.model_copy(update={"status": "diverged", "cost": record.cost, "attempt": 1})
        directory.publish(record, directory.claim())
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*.*") if path.is_file()}


def test_nothing_is_started_and_no_byte_differs(finished: Path) -> None:
    """Case 23 of the faults: under other hash seeds, and with tasks, models and seeds in another order."""
    runs = files(finished / "runs")
    found = []
    for number, order in enumerate(
        [
            ("--seeds", "0,1"),
            ("--seeds", "1,0", "--models", "lstm,rnn,gru", "--tasks", "pixel-mnist,permuted-mnist"),
        ]
    ):
        words = ["--suite", "tiny.toml", *order, "--leaderboards", f"leaderboards-{number}"]
        said = call(*words, cwd=finished, PYTHONHASHSEED=str(7 * number + 1))
        assert said.returncode == 0, said.stdout + said.stderr
        assert "0 of 20 jobs were started now" in said.stdout
        found.append(files(finished / f"leaderboards-{number}"))
    again = call("leaderboard", "runs", "--leaderboards", "leaderboards-2", cwd=finished, PYTHONHASHSEED="99")
    assert again.returncode == 0
    found.append(files(finished / "leaderboards-2"))
    assert len(found[0]) == 22
    assert found[0] == found[1] == found[2]
    assert {name: content for name, content in files(finished / "runs").items() if name in runs} == runs
