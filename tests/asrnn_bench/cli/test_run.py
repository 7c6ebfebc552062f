"""A whole run of a suite of four steps: what a user sees, and what is on disk afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from bench_support import COMMAND, TINY, call
from fault_support import CORE
from in_process import call_here
from waiting import wait_until

from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import read_record
from asrnn_bench.supervising.forked import Forked, Template

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).parents[3] / "examples" / "my_cell.py"


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".index"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def results(folder: Path) -> dict[str, Record]:
    found = [read_record(path.read_bytes()) for path in sorted(folder.glob("runs/*/*/*/*/result.json"))]
    return {record.key: record for record in found}


def scores(folder: Path) -> dict[str, object]:
    """All that must be equal to the bit when a job is done again."""
    return {
        key: (record.scores, record.curve, record.status, record.scan_backend)
        for key, record in results(folder).items()
    }


@pytest.fixture(scope="module")
def finished(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny suite ran, with the example's cell beside a built-in one."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(TINY)
    shutil.copy(EXAMPLE, folder / "my_cell.py")
    found = call_here(template, "--suite", "tiny.toml", "--models", "rnn,my_cell.py:LeakyCell", cwd=folder)
    assert found.returncode == 0, found.stdout + found.stderr
    (folder / "said.txt").write_text(found.stdout)
    return folder


def again(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished folder, to go on from."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_run_ends_with_a_leaderboard_on_screen_and_on_disk(finished: Path) -> None:
    said = (finished / "said.txt").read_text()
    for name in ("rnn", "leaky-cell", "chance", "logistic-regression", "permuted-mnist", "leaderboards/tiny.tiny.csv"):
        assert name in said
    assert "4 of 4 jobs were started now" in said
    assert len((finished / "leaderboards" / "tiny.tiny.csv").read_text().splitlines()) == 5


def test_every_test_sample_is_counted_exactly_once(finished: Path) -> None:
    for record in results(finished).values():
        assert record.scores is not None
        assert (record.scores.val_samples, record.scores.test_samples) == (500, 500)
        assert record.scores.test_accuracy == round(record.scores.test_accuracy * 500) / 500


def test_validations_come_at_the_pinned_interval_and_select_the_weights(finished: Path) -> None:
    for record in results(finished).values():
        assert record.scores is not None
        steps = [point.step for point in record.curve]
        assert steps == ([0] if record.job.model.name == "chance" else [2, 4])
        best = max(record.curve, key=lambda point: (point.val_accuracy, -point.step))
        assert (best.step, best.val_accuracy) == (record.scores.best_step, record.scores.val_accuracy)


def test_the_baselines_have_the_accuracy_and_parameters_of_their_definition(finished: Path) -> None:
    by_name = {record.job.model.name: record for record in results(finished).values()}
    chance = by_name["chance"]
    assert chance.scores is not None
    assert chance.scores.test_accuracy == 0.1  # the split is balanced by class
    assert chance.cost is not None
    assert chance.cost.parameters_total == 0
    logistic = by_name["logistic-regression"]
    assert logistic.cost is not None
    assert (logistic.cost.parameters_recurrent, logistic.cost.parameters_total) == (0, 7850)


def test_a_second_run_starts_no_job_and_changes_no_byte_of_the_leaderboards(
    finished: Path, tmp_path: Path, template: Template
) -> None:
    folder = again(finished, tmp_path)
    before = files(folder / "leaderboards")
    words = ["--suite", "tiny.toml", "--models", "my_cell.py:LeakyCell,rnn"]
    found = call(*words, cwd=folder, PYTHONHASHSEED="7")
    assert found.returncode == 0
    assert "0 of 4 jobs were started now" in found.stdout
    assert files(folder / "leaderboards") == before
    check = call_here(template, "leaderboard", "leaderboards", "--check", cwd=folder)
    assert (check.returncode, check.stdout.strip()) == (0, "every leaderboard is what its records give")


def started(template: Template, directory: Path) -> Forked:
    """A worker on a job directory, as a launcher starts it."""
    return template.start([str(directory)], {**os.environ, **CORE}, directory / "worker.log")


def ended(worker: Forked) -> int:
    """Its exit status, once it has ended."""
    wait_until(lambda: worker.poll() is not None, "the end of a worker", 240)
    return int(worker.poll() or 0)


def test_the_same_job_started_twice_at_once_yields_one_result(
    finished: Path, tmp_path: Path, template: Template
) -> None:
    """The result is, to the bit, what the job came to before."""
    folder = again(finished, tmp_path)
    (directory,) = folder.glob("runs/tiny/permuted-mnist/rnn/seed-0-*")
    expected = scores(folder)
    (directory / "result.json").unlink()
    workers = [started(template, directory) for _ in range(2)]
    assert sorted(map(ended, workers)) == [0, 76]  # one of them gave way
    assert len(list(directory.glob("result.json"))) == 1
    assert scores(folder) == expected
    winner = results(folder)[next(key for key in expected if key.startswith(directory.name[-12:]))]
    assert winner.attempt in (2, 3)
    (weights,) = {path.read_bytes() for path in directory.glob("attempts/*/weights.safetensors")}
    assert weights


def test_a_worker_on_a_finished_job_does_nothing(finished: Path, tmp_path: Path, template: Template) -> None:
    folder = again(finished, tmp_path)
    (directory,) = folder.glob("runs/tiny/permuted-mnist/rnn/seed-0-*")
    (directory / "worker.log").touch()
    before = files(directory)
    assert ended(started(template, directory)) == 0
    assert files(directory) == before


def test_an_edited_model_file_starts_its_jobs_anew(finished: Path, tmp_path: Path, template: Template) -> None:
    folder = again(finished, tmp_path)
    words = ["--suite", "tiny.toml", "--models", "rnn,my_cell.py:LeakyCell"]
    assert "4 jobs, 0 to run" in call_here(template, *words, "--dry-run", cwd=folder).stdout
    with (folder / "my_cell.py").open("a") as file:
        file.write("\n\nSLOPE = 1.0\n")
    assert "4 jobs, 1 to run" in call_here(template, *words, "--dry-run", cwd=folder).stdout
    found = call_here(template, *words, cwd=folder, answers=lambda target: None)
    assert "1 of 4 jobs were started now" in found.stdout
    assert len((folder / "leaderboards" / "tiny.tiny.csv").read_text().splitlines()) == 6  # the old row stays


def test_status_shows_the_run_from_another_shell(finished: Path, template: Template) -> None:
    found = call_here(template, "status", "runs", cwd=finished)
    assert found.returncode == 0
    assert "4 of 4 jobs done" in found.stdout


def test_a_lost_leaderboard_comes_back_from_the_records(finished: Path, tmp_path: Path, template: Template) -> None:
    folder = again(finished, tmp_path)
    before = files(folder / "leaderboards")
    shutil.rmtree(folder / "leaderboards")
    assert call_here(template, "leaderboard", "runs", "--check", cwd=folder).returncode == 1
    assert call_here(template, "leaderboard", "runs", cwd=folder).returncode == 0
    assert files(folder / "leaderboards") == before


def test_a_task_without_data_is_skipped_and_the_message_says_what_to_do(tmp_path: Path, template: Template) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("permuted-mnist", "pixel-cifar10"))
    found = call_here(template, "--suite", "tiny.toml", cwd=tmp_path)
    assert found.returncode == 0
    assert "0 of 3 jobs were started now" in found.stdout
    assert "asrnn-bench prepare" in found.stdout
    assert "No data: pixel-cifar10; asrnn-bench prepare fetches it." in found.stdout.splitlines()
    assert found.stdout.count("o data") == 1
    assert "No data: pixel-cifar10." in (tmp_path / "leaderboards" / "tiny.tiny.md").read_text()
    named = call_here(template, "--suite", "tiny.toml", "--data-dir", "my data", cwd=tmp_path).stdout
    assert "No data: pixel-cifar10; asrnn-bench prepare --data-dir 'my data' fetches it." in named
    assert call_here(template, "--suite", "tiny.toml", "--strict", cwd=tmp_path).returncode == 1


def test_a_damaged_file_fails_its_tasks_with_both_digests(tmp_path: Path, template: Template) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("permuted-mnist", "pixel-cifar10"))
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"not the published bytes")
    found = call_here(template, "--suite", "tiny.toml", cwd=tmp_path)
    assert found.returncode == 1
    digests = re.findall(r"\b[0-9a-f]{64}\b", found.stdout)
    assert len(set(digests)) == 2
    assert "cifar-10-batches-py/data_batch_1" in found.stdout
    assert "Traceback" not in found.stdout + found.stderr


def test_a_model_that_is_refused_fails_alone_and_says_why(tmp_path: Path, template: Template) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "cells.py").write_text(
        "from torch import nn\n\n\nclass Plain(nn.Module):\n"
        "    def __init__(self, input_size, hidden_size):\n        super().__init__()\n"
        "        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)\n\n"
        "    def forward(self, x):\n        return self.rnn(x)\n\n\n"
        "class Transposed(Plain):\n    def forward(self, x):\n        return self.rnn(x)[0].transpose(1, 2)\n"
    )
    words = ["--suite", "tiny.toml", "--models", "cells.py:Transposed,cells.py:Plain"]
    refused = "Transposed must return [B, T, H]"
    found = call_here(
        template, *words, cwd=tmp_path, answers=lambda target: refused if target.endswith("Transposed") else None
    )
    assert found.returncode == 1
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("failed, permuted-mnist / transposed")]
    assert f"refused by the contract: {refused}" in line
    assert "Traceback" not in found.stdout + found.stderr
    states = {record.job.model.name: record.status for record in results(tmp_path).values()}
    assert states == {"plain": "done", "chance": "done", "logistic-regression": "done"}
    assert "failed" in (tmp_path / "leaderboards" / "tiny.tiny.csv").read_text()
    check = call_here(template, "leaderboard", "runs", "--check", cwd=tmp_path)  # the failed row comes back too
    assert check.returncode == 0


def test_a_model_that_diverges_is_a_row_and_not_an_error(tmp_path: Path) -> None:
    """In a process of its own, as a user runs it."""
    (tmp_path / "tiny.toml").write_text(
        TINY + '\n[settings.permuted-mnist.rnn]\norigin = "a test"\noptimizer = "sgd"\nlearning_rate = 1e38\n'
    )
    (tmp_path / "random.py").write_text("raise SystemExit('what lies in the folder is no part of a job')")
    found = call("--suite", "tiny.toml", cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert "diverged" in found.stdout
    row = next(
        line for line in (tmp_path / "leaderboards" / "tiny.tiny.csv").read_text().splitlines() if ",rnn," in line
    )
    assert row.startswith("permuted-mnist,rnn,rnn,1,1,accuracy,,,,,,0,1,0,0,the training loss became")


@contextmanager
def long_run(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", list[psutil.Process]]]:
    """A run that would take hours, once a recurrent job of it trains, and its workers."""
    (folder / "tiny.toml").write_text(TINY.replace("max_steps = 4", "max_steps = 100000"))
    process = subprocess.Popen(
        [*COMMAND, "--suite", "tiny.toml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has interrupts ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("runs/*/*/rnn/*/progress.json")) and time.monotonic() < deadline:
            time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        yield process, workers
    finally:
        process.kill()
        process.communicate()


def test_an_interrupted_run_says_what_it_waits_for_and_how_to_go_on_and_leaves_no_worker(
    tmp_path: Path, template: Template
) -> None:
    with long_run(tmp_path) as (process, workers):
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"saving [12] jobs?, up to 30 s; interrupt again to end at once", said)
    assert "run the same command to go on" in said
    assert not [worker for worker in workers if worker.is_running()]
    assert "waiting" in call_here(template, "status", "runs", cwd=tmp_path).stdout


def test_a_run_from_python_does_the_same_and_returns_a_data_frame(finished: Path, tmp_path: Path) -> None:
    folder = again(finished, tmp_path)
    program = (
        "import asrnn_bench\nfrom my_cell import LeakyCell\n"
        "table = asrnn_bench.run('tiny.toml', models=['rnn', LeakyCell])\n"
        "assert list(table['model']) and 'leaky-cell' in set(table['model']), table\n"
        "assert (table['n_seeds'] == 1).all()\n"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert len(list(folder.glob("runs/*/*/*/*/attempts/*"))) == 4  # no job was started again
