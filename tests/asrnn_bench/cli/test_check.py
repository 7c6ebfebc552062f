"""``asrnn-bench check`` shows each check of a model, for each way to name a model."""

import shutil
from pathlib import Path

import broken_models
import pytest
import torch
from bench_support import one_line

from asrnn.contract import CHECKS
from asrnn_bench.cli import check, invoke
from asrnn_bench.planning.settings import Settings

EXAMPLE = Path(__file__).parents[3] / "examples" / "my_cell.py"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # a line for each check
    shutil.copy(EXAMPLE, tmp_path / "my_cell.py")
    shutil.copy(broken_models.__file__, tmp_path / "broken.py")


def test_a_sound_model_has_a_line_for_each_check_and_exit_status_0(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", "my_cell.py:LeakyCell", "--hyper", "leak=0.2"]) == 0
    said = capfd.readouterr()
    *lines, verdict = said.out.splitlines()
    assert [line.split()[1] for line in lines] == [check.name for check in CHECKS]
    assert {line.split()[0] for line in lines} <= {"ok", "warn", "info"}
    assert verdict.startswith("leaky-cell keeps the contract: ")
    assert said.err == ""


@pytest.mark.parametrize("name", ["broken_models:Transposed", "broken.py:Transposed"])
def test_a_broken_model_has_a_reason_and_exit_status_1(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", name]) == 1
    said = capfd.readouterr()
    line, verdict = said.out.splitlines()
    assert line.startswith("FAIL  builds              expected: it is built from")
    assert "found: Transposed must return [B, T, H] = [2, 3, 64]" in line
    assert verdict.startswith("transposed breaks the contract, and a run would refuse it: builds")
    assert said.err == ""


def test_a_model_is_checked_at_the_size_that_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["check", "broken.py:Transposed", "--hidden-size", "5", "--input-size", "1", "--device", "cpu"]
    assert invoke(words) == 1
    assert "must return [B, T, H] = [2, 3, 5]" in capfd.readouterr().out


def test_lines_fit_a_terminal_of_80_columns(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["check", "broken.py:Transposed"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("FAIL  builds              expected: it is built")
    assert lines[1].startswith(" " * 26)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(["check", "lstm", "--device", "cuda"]) == 2
    assert "torch sees no CUDA device here" in one_line(capfd.readouterr().err)


def test_an_error_of_a_model_is_one_line_with_the_line_of_its_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (tmp_path / "broken.py").read_text()
    (tmp_path / "raises.py").write_text(
        text.replace("return torch.tanh(self.W(h) + u)", "return torch.tanh(self.W(h) + u).view(2, 64)", 1)
    )
    number = next(n for n, line in enumerate((tmp_path / "raises.py").read_text().splitlines(), 1) if ".view(" in line)
    assert invoke(["check", "raises.py:Sound"]) == 1
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    (line,) = [line for line in said.out.splitlines() if line.startswith("FAIL  shapes")]
    assert f"(line {number} of raises.py)" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("check antisymetric", "unknown model 'antisymetric'; did you mean 'antisymmetric'?"),
        ("check absent.py:Cell", "there is no file absent.py"),
        ("check my_cell.py:Leaky", "did you mean 'LeakyCell'?"),
        ("check", "MODEL"),
        ("check lstm --hyper sigma_w", "--hyper takes a name and a value as in TOML"),
        ("check lstm --hyper sigma_w=[1", "--hyper takes a name and a value as in TOML"),
        ("check lstm --hyper sigma-w=1", "--hyper takes a name and a value as in TOML"),
        ("check lstm --hyper a=1 --hyper a=2", "--hyper a is given twice"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(words: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert invoke(words.split()) == 2
    assert message in one_line(capfd.readouterr().err)


REFUSED = {
    "bias=False": "hyper.bias|'False' would be a word like any other: write false, without quotes",
    "bias=True": "hyper.bias|'True' would be a word like any other: write true, without quotes",
    "activation=None": "hyper.activation|'None' would be a word like any other: leave it out",
    'activation="null"': "hyper.activation|'null' would be a word like any other: leave it out",
    "lags=[1,4,16]": "hyper.lags|a hyper-parameter is a number, a word, true or false, not a list",
    "lags={a=1}": "hyper.lags|a hyper-parameter is a number, a word, true or false, not a dict",
    "since=2020-01-01": "hyper.since|a hyper-parameter is a number, a word, true or false, not a date",
    "gain=inf": "hyper.gain|Input should be a finite number",
    "gain=nan": "hyper.gain|Input should be a finite number",
    "gain=10000000000000000000": "hyper.gain|a whole number lies within 2**63 of zero",
    "hidden_size=3": "hyper|'hidden_size' is not a hyper-parameter, as a run gives it",
}


@pytest.mark.parametrize("word", REFUSED)
def test_the_check_refuses_hyper_parameters_in_the_same_words_as_a_suite(
    word: str, capfd: pytest.CaptureFixture[str], tiny_suite: Path
) -> None:
    place, message = REFUSED[word].split("|")
    assert invoke(["check", "rnn", "--hyper", word]) == 2
    said = one_line(capfd.readouterr().err)
    assert message in said
    assert said.startswith(f"asrnn-bench: --{place.replace('.', ' ')}")
    name, _, value = word.partition("=")
    in_toml = f'"{value}"' if value in ("False", "True", "None") else value
    with tiny_suite.open("a") as file:
        file.write(f'\n[settings.permuted-mnist.rnn]\norigin = "a test"\nhyper = {{ {name} = {in_toml} }}\n')
    assert invoke(["--suite", str(tiny_suite), "--dry-run"]) == 2
    assert message in one_line(capfd.readouterr().err)


@pytest.mark.parametrize(("word", "value"), [("a=false", False), ("a=2", 2), ("a=0.5", 0.5), ("a=none", "none")])
def test_the_check_accepts_the_hyper_parameters_that_a_suite_accepts(word: str, value: object) -> None:
    assert check._hyper([word]) == {"a": value}
    assert Settings(origin="a test", hyper=check._hyper([word])).hyper == {"a": value}


def test_hyper_parameters_are_read_as_toml_and_bare_words_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["num_layers=2", "residual=true", "norm=layre", "dropout = 0.5"]
    assert invoke(["check", "rnn", *(part for word in words for part in ("--hyper", word))]) == 1
    assert "unknown norm 'layre'; did you mean 'layer'?" in capfd.readouterr().out
    assert invoke(["check", "rnn", "--hyper", "num_layers=2.0"]) == 1
    assert "num_layers must be a positive integer, not 2.0" in capfd.readouterr().out
