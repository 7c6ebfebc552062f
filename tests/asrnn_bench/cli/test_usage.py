"""A wrong call gives one line that says what to do, exit status 2 and no traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench_support import one_line

from asrnn.errors import UsageError
from asrnn_bench.cli import invoke
from asrnn_bench.cli.run import _words
from asrnn_bench.files.folders import make_writable
from asrnn_bench.files.paths import expanded


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
        ("--suit long-range", "asrnn-bench has no --suit; did you mean --suite?"),
        ("--suite long-range --model lstm", "asrnn-bench has no --model; did you mean --models?"),
        ("--suite long-range --follow", "it is a flag of asrnn-bench status"),
        ("status runs --suite long-range", "asrnn-bench status has no --suite; it is a flag of asrnn-bench itself"),
        ("status runs --folow", "asrnn-bench status has no --folow; did you mean --follow?"),
        ("--suite", "Option '--suite' requires an argument; see asrnn-bench --help"),
        ("--suite long-range --budget quick --budget=paper", "--budget is given 2 times, and takes one value"),
        ("status a --follow --follow --folow", "did you mean --follow?"),
        ("speed --sizes 1x1x1x1 --sizes 2x2x2x2", "--sizes is given 2 times"),
        ("-suite long-range", "flags have two dashes"),
        ("--suite long-range --devices two", "--devices takes a whole number of at least 1"),
        ("--suite long-range --retries -1", "--retries takes a whole number of at least 0"),
        (
            "run --suite long-range --seeds 0",
            "there is no verb 'run': a run is asrnn-bench --suite long-range --seeds 0",
        ),
        ("train", "there is no verb 'train': a run is asrnn-bench --suite long-range"),
        ("long-range", "'long-range' is a suite: asrnn-bench --suite long-range"),
        ("long-rnge", "did you mean 'long-range'? that is a suite: asrnn-bench --suite long-range"),
        ("mine.toml", "'mine.toml' is a suite: asrnn-bench --suite mine.toml"),
        ("permuted-mnist", "'permuted-mnist' is a task: asrnn-bench --suite long-range --tasks permuted-mnist"),
        ("--suite long-range lstm", "'lstm' is a model: asrnn-bench check lstm"),
        ("my_cell.py:Cell", "'my_cell.py:Cell' is a model: asrnn-bench check my_cell.py:Cell"),
        ("leaderbord runs", "there is no verb 'leaderbord'; did you mean 'asrnn-bench leaderboard'?"),
        ("models", "there is no verb 'models': asrnn-bench list models"),
        ("help", "there is no verb 'help': asrnn-bench --help"),
        ("frobnicate", "there is no verb 'frobnicate'; there is: check, doctor"),
        ("lst", "did you mean"),
        ("list taks", "did you mean 'tasks'?"),
        (
            "--suite long-range --seeds 4-2",
            "--seeds takes whole numbers with commas between them, such as 0,1,2 or 0-9",
        ),
        ("--suite long-range --seeds 0-", "--seeds takes whole numbers"),
        ("--suite long-range --seeds 0-999999999", "--seeds takes at most 100000 numbers"),
        ("--suite long-range --models ,", "--models names nothing"),
        ("--suite long-range --models=", "--models names nothing"),
        ('--suite long-range --models "a', "--models takes names with commas between them"),
        ("--suite long-range --output=~nobody-here/runs", "there is no home folder for '~nobody-here/runs'"),
        ("--suite ~nobody-here/suite.toml", "there is no home folder for '~nobody-here/suite.toml'"),
        ("status ~nobody-here/runs", "there is no home folder for '~nobody-here/runs'"),
        ("--suite long-range --ray-address x:1", "--ray-address is for --launcher ray"),
        ("--suite long-range --launcher ray --nodes-per-job 2", "--nodes-per-job is for --launcher slurm"),
        ("--suite long-range list", "--suite starts a run and 'list' does something else"),
        ("--budget paper", "a run needs a suite: asrnn-bench --suite long-range"),
        ("status", "Missing argument 'DIR'; see asrnn-bench status --help"),
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
    before = sorted(Path().rglob("*"))
    assert invoke(words.split()) == 2
    text = one_line(capfd.readouterr().err)
    assert text.startswith("asrnn-bench: ")
    assert message in text
    assert sorted(Path().rglob("*")) == before
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


def test_list_names_suites_tasks_and_models(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["list"]) == 0
    text = capfd.readouterr().out
    for name in ("long-range", "noise-padded-cifar10", "antisymmetric-gated", "logistic-regression"):
        assert name in text


def test_a_call_without_arguments_shows_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke([]) == 0
    assert "--suite" in capfd.readouterr().out


def test_the_command_runs_as_a_module_too(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "asrnn_bench", "--suite", "long-rang"]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    one_line(found.stderr)


def test_the_doctor_says_what_launchers_and_loggers_need(capfd: pytest.CaptureFixture[str]) -> None:
    invoke(["doctor"])
    said = capfd.readouterr().out
    for name in ("launcher  slurm: ", "launcher  ray: ", "logger    tensorboard: ", "logger    wandb: "):
        assert name in said


@pytest.mark.parametrize("verb", ["", "check", "doctor", "leaderboard", "list", "prepare", "search", "speed", "status"])
def test_the_help_is_whole_at_80_columns(
    verb: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke([*filter(None, [verb]), "--help"]) == 0
    text = capfd.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= (85 if not verb else 80)  # an example is a line, to be copied
    for jargon in ("...", "…", "range>", "<str>", "<path>", "x>="):
        assert jargon not in text.replace("[VERB ...]", "").replace("BxTxIxH,...", "")


def test_the_help_of_a_run_has_groups_an_example_and_a_line_for_most_flags(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    text = capfd.readouterr().out
    for group in ("Examples:", "What runs:", "Where it runs:", "While it runs:", "Folders:", "Other flags:", "Verbs"):
        assert f"\n{group}" in text
    assert "asrnn-bench --suite long-range --dry-run" in text
    assert len(text.splitlines()) < 80


def test_home_folders_are_expanded_in_every_flag(
    tmp_path: Path, tiny_suite: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "a home, with a comma"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    tiny_suite.rename(home / "tiny.toml")
    (home / "my cells, too.py").write_text("from torch import nn\n\nclass MyCell(nn.Module):\n    pass\n")
    assert invoke(["--suite=~/tiny.toml", '--models=rnn,"~/my cells, too.py:MyCell"', "--dry-run"]) == 0
    assert "my-cell" in capfd.readouterr().out
    assert invoke(["--suite", "~/tiny.toml", "--models", "rnn", "--models", "lstm", "--dry-run"]) == 0
    text = capfd.readouterr().out
    assert "  rnn " in text
    assert "  lstm " in text
    (tmp_path / "~").write_text("")  # what is in the way of a folder called so
    for words in (
        ["status", "~/$HOME/runs"],
        ["leaderboard", "~/$HOME/runs"],
        ["leaderboard", "~/runs", "--leaderboards=~/boards"],
    ):
        assert invoke(words) == 2
        assert f"below {home}/" in one_line(capfd.readouterr().err)
    (home / "runs").write_text("a file")
    with pytest.raises(UsageError, match="cannot write to"):
        make_writable(expanded("~/runs"), "--output")


def test_the_plan_takes_ranges_of_seeds_as_it_prints_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--suite", "long-range", "--seeds", "0,2-4", "--seeds", "9", "--dry-run"]) == 0
    text = capfd.readouterr().out
    assert "0,2-4,9" in text
    assert "250 jobs" in text


def test_a_plan_without_data_has_no_time(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--suite", "long-range", "--tasks", "pixel-cifar10", "--dry-run"]) == 0
    text = capfd.readouterr().out
    assert "0 to run" in text
    assert "about 0 s" not in text
    assert "asrnn-bench prepare" in text


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_run_says_which_signal_ended_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("asrnn_bench.cli.run.load_suite", lambda suite: os.kill(os.getpid(), getattr(signal, name)))
    assert invoke(["--suite", "long-range"]) == 143
    assert f"ended by {name}" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("values", [["rnn,lstm", "my cell.py:A"], ("rnn,lstm", "my cell.py:A")])
def test_the_command_for_the_full_protocol_repeats_lists_as_they_are_typed(values: object) -> None:
    assert _words("models", values) == ["--models rnn,lstm", "--models 'my cell.py:A'"]
    assert _words("threads", 2) == ["--threads 2"]
