"""What a user types wrong is one line that says what to do, with exit status 2 and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench_support import call, one_line

from asrnn_bench.cli import invoke


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASRNN_DATA_DIR", raising=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--suite long-rang", "unknown suite 'long-rang'; did you mean 'long-range'?"),
        ("--suite absent.toml", "cannot read suite file absent.toml"),
        ("--suite long-range --tasks permuted-mnits", "did you mean 'permuted-mnist'?"),
        ("--suite long-range --models lstmm", "unknown model 'lstmm'; did you mean 'lstm'?"),
        ("--suite long-range --budget papr", "unknown budget 'papr'; did you mean 'paper'?"),
        ("--suite long-range --seeds 0,one", "--seeds takes whole numbers with commas between them"),
        ("--suite long-range --seeds -1", "--seeds takes whole numbers with commas between them"),
        ("--suite long-range --launcher kubernetes", "unknown launcher 'kubernetes'; there is: local, ray, slurm"),
        ("--suite long-range --threads 4096", "--threads 4096 is more than the"),
        ("--suite long-range --devices 4096", "--devices 4096 is more than the"),
        ("--suite long-range --max-steps 0", "--max-steps"),
        ("--suit long-range", "--suit"),
        ("lst", "lst"),
        ("list taks", "did you mean 'tasks'?"),
        ("--suite long-range list", "--suite starts a run and 'list' does something else"),
        ("--budget paper", "a run needs a suite: asrnn-bench --suite long-range"),
        ("status", "DIR"),
        ("status nowhere", "there are no jobs below nowhere"),
        ("leaderboard nowhere", "there are no records below nowhere"),
        ("--suite long-range --models absent.py:Cell", "there is no file absent.py"),
        ("--suite long-range --models broken.py:Cell", "broken.py, line 3"),
        ("--suite long-range --models cells.py:MyCel", "did you mean 'MyCell'?"),
        ("--suite long-range --models cells.py", "write cells.py:MyCell"),
        ("--suite long-range --models no_such_package.cells:Cell", "no module 'no_such_package'"),
        ("--suite long-range --output file/below", "cannot write to file/below"),
        ("--suite long-range --leaderboards file/below", "cannot write to file/below"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text("import torch\n\nclass Cell(:\n")
    Path("cells.py").write_text("from torch import nn\n\nclass MyCell(nn.Module):\n    pass\n")
    Path("file").write_text("not a folder")
    assert invoke(words.split()) == 2
    text = one_line(capfd.readouterr().err)
    assert text.startswith("asrnn-bench: ")
    assert message in text
    assert Path("file").read_text() == "not a folder"


def test_an_unknown_key_in_a_suite_file_is_named(tiny_suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny_suite.write_text(tiny_suite.read_text().replace("batch_size", "batch_sise"))
    assert invoke(["--suite", str(tiny_suite)]) == 2
    assert "unknown key 'budgets.tiny.batch_sise'; did you mean 'batch_size'?" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize(
    "words", ["--help", "--suite long-range --dry-run", "list", "status --help", "--suite long-range --tasks x"]
)
def test_the_process_that_plans_does_not_import_torch(words: str) -> None:
    program = (
        "import sys; from asrnn_bench.cli import invoke; invoke(sys.argv[1:]); "
        "heavy = {'torch', 'lightning', 'torchvision', 'pandas', 'scipy', 'sklearn'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    found = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_the_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--suite", "long-range", "--dry-run"]) == 0
    text = capfd.readouterr().out
    assert "50 jobs, 30 to run" in text  # no CIFAR-10 here
    assert "unknown" in text
    assert list(tmp_path.iterdir()) == []


def test_the_lists_name_what_there_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list"]) == 0
    text = capfd.readouterr().out
    for name in ("long-range", "noise-padded-cifar10", "antisymmetric-gated", "logistic-regression"):
        assert name in text


def test_no_words_at_all_show_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke([]) == 0
    assert "--suite" in capfd.readouterr().out


def test_the_command_is_there_as_a_module_too(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "asrnn_bench", "--suite", "long-rang"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    one_line(found.stderr)


def test_the_doctor_says_what_launchers_and_loggers_need(tmp_path: Path) -> None:
    said = call("doctor", cwd=tmp_path).stdout
    for name in ("launcher  slurm: ", "launcher  ray: ", "logger    tensorboard: ", "logger    wandb: "):
        assert name in said
