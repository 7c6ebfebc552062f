"""A damaged, wrong or hostile suite file gives one line that says what is wrong, or the jobs that it asks for."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from altered import altered, toml_text
from bench_support import TINY, one_line
from hypothesis import HealthCheck, given, settings
from malformed import NOT_FILES, malform_path, malformed, normalised, tell

from asrnn.errors import AsrnnError, UsageError
from asrnn_bench.cli import invoke
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite, shipped_suites
from asrnn_bench.records.record import without_result
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import csv_text
from asrnn_bench.results.markdown import board_markdown

RICH = (
    TINY.replace('models = ["rnn"]', 'models = ["rnn", "lstm-wide", "torch.nn:GRU"]')
    + """
[budgets.tiny.tasks.permuted-mnist]
max_steps = 3
hidden_size = { rnn = 5, lstm-wide = 6 }

[rows.lstm-wide]
model = "lstm"

[variants.permuted-mnist]
permutation = "bit-reversal"

[settings.permuted-mnist.rnn]
origin = "a test"
learning_rate = 0.01
hyper = { sigma_w = 1.5 }

[search]
trials = 2
rungs = [0.5]
budget = "tiny"
tasks = ["permuted-mnist"]

[search.published.permuted-mnist.rnn]
origin = "another test"
learning_rate = 0.1

[search.space.default]
learning_rate = [0.1, 0.01]

[search.space.rnn]
optimizer = ["adam", "sgd"]
learning_rate = { adam = { low = 0.001, high = 0.1, log = true }, sgd = [0.1] }
gradient_clip_norm = ["none", 1.0]
sigma_w = { low = 1, high = 3 }
"""
)

REASONS_OF_BYTES, REASONS_OF_STRUCTURE = 45, 90
"""The least number of different refusals, so that the malformations reach every check."""


def refusal(error: AsrnnError) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.isprintable(), text
    assert len(text) < 2000
    return normalised(text)


def plan_of(path: Path) -> Any:
    """Return the plan of a suite, after a check that its jobs can be rows of a leaderboard."""
    plan = make_plan(load_suite(str(path)), Request())
    records = [without_result(job, "failed", "why") for job in plan.jobs]
    csv_text(records).encode()
    board_markdown(boards(records)[0]).encode()
    return plan


@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.faults)])
def test_a_suite_whose_bytes_changed_is_refused_or_asks_for_its_own_jobs(tmp_path: Path, count: int) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(RICH)
    expected = {job.key: job for job in plan_of(path).jobs}
    reasons: set[str] = set()
    for content in malformed(RICH.encode(), count, seed=count):
        path.write_bytes(content)
        try:
            found = plan_of(path).jobs
        except UsageError as error:
            reasons.add(refusal(error))
            continue
        for job in found:  # one that is called the same is the same but for where its settings come from
            if job.key in expected:
                assert job.model_copy(update={"settings": ""}) == expected[job.key].model_copy(update={"settings": ""})
    tell(f"{count} malformed suites, {len(reasons)} reasons")
    assert len(reasons) >= (REASONS_OF_BYTES if count > 100 else 10), sorted(reasons)


@pytest.mark.parametrize("count", [20, pytest.param(100, marks=pytest.mark.faults)])
@pytest.mark.parametrize("name", ["long-range", "paper-table-1"])
def test_a_changed_shipped_suite_is_never_mistaken_for_the_shipped_one(tmp_path: Path, name: str, count: int) -> None:
    shipped = shipped_suites()[name]
    expected = load_suite(name)
    path = tmp_path / f"{name}.toml"
    for content in malformed(shipped.read_bytes(), count, seed=count):
        path.write_bytes(content)
        try:
            suite = load_suite(str(path))
        except UsageError as error:
            refusal(error)
        else:
            assert suite.name != name or suite == expected


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.faults)])
def test_a_suite_of_another_shape_is_refused_or_can_be_planned(tmp_path: Path, count: int) -> None:
    path = tmp_path / "suite.toml"
    reasons: set[str] = set()
    planned = 0

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(altered(tomllib.loads(RICH)))
    def check(value: dict[str, Any]) -> None:
        nonlocal planned
        path.write_text(toml_text(value), encoding="utf-8", errors="surrogatepass")
        try:
            plan_of(path)
            planned += 1
        except UsageError as error:
            reasons.add(refusal(error))

    check()
    tell(f"{count} altered suites, {planned} could be planned, {len(reasons)} reasons")
    assert len(reasons) >= (REASONS_OF_STRUCTURE if count > 100 else 10), sorted(reasons)
    assert 0 < planned < count / 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a = " + "{a=" * 3000, "nested too deeply"),
        ("a = " + "1" * 5000, "limit"),
        (TINY.replace("version = 1", "version = 0x" + "f" * 9000), "version: Input should be less than"),
        (TINY.replace("batch_size = 8", "batch_size = 1" + "0" * 4000), "batch_size: Input should be less than"),
        (TINY.replace('"a suite that takes seconds"', f'"{"x" * 5000}"'), "summary: String should have at most"),
        (TINY.replace("seeds = [0]", "seeds = [0x" + "f" * 9000 + "]"), "seeds.0: Input should be less than"),
        (TINY + "[variants.permuted-mnist]\nself = 'x'\n", "unknown setting of task permuted-mnist 'self'"),
        (TINY.replace('"tiny"\nversion', '"tiny\\u202e"\nversion'), "a name is made of"),
        (TINY.replace("[budgets.tiny]", "[budgets.tiny]\n\"a\\u001b[31m\" = 1"), "\\x1b[31m"),
        (TINY.replace('name = "tiny"', 'name = "tiny"\nname = "tiny"'), "Cannot overwrite a value"),
    ],
)  # fmt: skip
def test_the_message_says_what_is_wrong(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        plan_of(path)
    assert reason in str(raised.value)
    refusal(raised.value)


@pytest.mark.parametrize("how", [*NOT_FILES, "utf-16", "bom", "half"])
def test_a_suite_file_that_cannot_be_read_is_one_line_on_the_command_line(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "suite.toml"
    if how in NOT_FILES:
        malform_path(path, how)
    else:
        text = {
            "utf-16": TINY.encode("utf-16"),
            "bom": b"\xef\xbb\xbf" + TINY.encode(),
            "half": b'name = "\xed\xa0\x80"',
        }
        path.write_bytes(text[how])
    assert invoke(["--suite", str(path), "--dry-run"]) == 2
    assert "suite.toml" in one_line(capfd.readouterr().err)


def test_a_budget_whose_name_with_the_number_of_steps_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(TINY.replace("tiny]", "t" * 60 + "]").replace('_budget = "tiny"', f'_budget = "{"t" * 60}"'))
    with pytest.raises(UsageError, match="budget: a name is made of up to 64"):
        make_plan(load_suite(str(path)), Request(max_steps=100))
