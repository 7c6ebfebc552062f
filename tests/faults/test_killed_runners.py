"""Cases 3 and 4: a runner that is killed takes its workers along; one that is interrupted has them save first."""

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from fault_support import Bench, endings, outcome, plan_jobs, suite_text, write
from runner_support import directories, family, progress, runner
from waiting import wait_until

from asrnn_bench.jobs.options import Options

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]

STEPS = 400
WORDS = ("--suite", "tiny.toml", "--checkpoint-every", "5steps", "--logger", "none")


@pytest.fixture(scope="module")
def clean(template: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("clean")
    jobs = plan_jobs(folder, suite_text(STEPS))
    found = {}
    for job in jobs:
        directory = write(folder / "runs", job)
        Bench(template).run(directory, Options(loggers=()))
        found[job.key] = outcome(directory)
    return found


def _at_work(folder: Path) -> bool:
    return progress(folder, "antisymmetric") > 20


def _finish(folder: Path, clean: dict[str, Any]) -> str:
    """Run the same command to its end, compare every result with the clean one, and return what it said."""
    with runner(folder, *WORDS) as process:
        said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert {each.job().key: outcome(each) for each in directories(folder)} == clean
    assert all(len(list(each.path.glob("result.json"))) == 1 for each in directories(folder))
    return said


def test_killed_it_takes_its_workers_along_and_the_next_one_finishes_what_is_missing(
    tmp_path: Path, clean: dict[str, Any]
) -> None:
    (tmp_path / "tiny.toml").write_text(suite_text(STEPS))
    with runner(tmp_path, *WORDS) as process:
        wait_until(lambda: _at_work(tmp_path), "a training", 120)
        everybody = family(process.pid)
        assert len(everybody) >= 3  # the runner, the process that forks, and a worker
        process.kill()
        _, alive = psutil.wait_procs(everybody, timeout=5)
        assert not alive
    (training,) = directories(tmp_path, "antisymmetric")
    assert training.state()[0] == "waiting"
    done = sum(each.is_done() for each in directories(tmp_path))
    said = _finish(tmp_path, clean)
    assert f"{3 - done} of 3 jobs were started now" in said
    start = json.loads((training.attempts()[-1].path / "start.json").read_text())
    assert start["resumed_from"].startswith("step ")
    assert not list((tmp_path / "runs").rglob(".*.json.*"))


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupted_it_has_its_workers_save_and_the_next_one_resumes_them(
    name: str, status: int, tmp_path: Path, clean: dict[str, Any]
) -> None:
    (tmp_path / "tiny.toml").write_text(suite_text(STEPS))
    with runner(tmp_path, *WORDS[:2], "--checkpoint-every", "1h", "--logger", "none") as process:
        wait_until(lambda: _at_work(tmp_path), "a training", 120)
        everybody = family(process.pid)
        process.send_signal(getattr(signal, name))
        said, _ = process.communicate(timeout=60)
        assert process.returncode == status, said
        assert "Traceback" not in said
        assert "run the same command to go on" in said
        _, alive = psutil.wait_procs(everybody, timeout=5)
        assert not alive
    (training,) = directories(tmp_path, "antisymmetric")
    (end,) = endings(training)
    assert (end["kind"], end["returncode"]) == ("preempted", 75)
    assert end["saved_step"] > 20
    assert (tmp_path / "leaderboards" / "tiny.tiny.csv").exists()
    _finish(tmp_path, clean)
    assert endings(training)[1]["resumed_from"] == f"step {end['saved_step']} (last)"
