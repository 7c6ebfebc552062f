"""Hostile names are refused where they name something, and shown as harmless text where people read them."""

import csv
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bench_support import TINY, done, one_line
from malformed import HALF_A_PAIR, HOSTILE_WORDS
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from asrnn.errors import AsrnnError, UsageError
from asrnn_bench.cli import invoke
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.planning.values import Argument, Reference
from asrnn_bench.records.fields import Slug
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results.boards import boards
from asrnn_bench.results.leaderboard import COLUMN_NAMES, csv_text
from asrnn_bench.results.markdown import board_markdown
from asrnn_bench.results.terminal import terminal_table

NAMES = ["../../x", "a\nb", "a\n", "-1", "Ünit", "a" * 65, "", HALF_A_PAIR]
"""A name for each way in which a name can be hostile. The types of names are tested with more of them below."""

WORDS = [
    *HOSTILE_WORDS,
    "\u2028",
    "＝1",
    "a\r\nb\tc",
    "\x7f",
    "\ufeffx",
    "`code`",
    "*bold*",
    "__init__",
    "$x$",
    "'=1",
    "&lt;b&gt;",
]


def few(values: list[str], count: int = 4) -> list[Any]:
    """Return parameters. The first few run in ``make check``, the others in ``make faults``."""
    return [*values[:count], *(pytest.param(value, marks=pytest.mark.faults) for value in values[count:])]


@pytest.fixture(scope="module")
def job() -> Job:
    return make_plan(load_suite("long-range"), Request()).jobs[3]


@pytest.mark.parametrize("kind", [Slug, Argument, Reference], ids=["slug", "argument", "reference"])
def test_no_hostile_word_is_a_name(kind: Any) -> None:
    names = [*HOSTILE_WORDS, *NAMES, "..", ".", "-", "a/b", "a\\b", "a b", "a\r", "ＡＢＣ"]
    for name in names if kind is not Argument else [name for name in names if name != "CON"]:
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(name)


def suite(folder: Path, old: str, new: str) -> Path:
    """Write the tiny suite with ``new`` in place of ``old``."""
    assert old in TINY
    path = folder / "suite.toml"
    path.write_text(TINY.replace(old, new), encoding="utf-8", errors="surrogatepass")
    return path


def quoted(name: str) -> str:
    """Return a name as a TOML string."""
    escaped = "".join(c if " " <= c != "\x7f" and c not in '"\\' else f"\\u{ord(c):04x}" for c in name)
    return f'"{escaped}"'


@pytest.mark.parametrize(
    "place",
    [
        'name = "tiny"',
        '["permuted-mnist"]',
        '["rnn"]',
        'default_budget = "tiny"',
        "[budgets.tiny]",
        'mnist = "mnist-5k-v1"',
        "images = { mnist",
        "[rows]",
        "[settings]",
        "[settings of a model]",
        "[variants]",
        "[variant]",
        "[hyper]",
        "[space]",
    ],
)
@pytest.mark.parametrize("name", few(NAMES, 3))
def test_no_suite_holds_a_hostile_name(tmp_path: Path, place: str, name: str) -> None:
    word = quoted(name)
    added = {
        "[rows]": f'[rows.{word}]\nmodel = "rnn"\n',
        "[settings]": f'[settings.{word}.rnn]\norigin = "x"\n',
        "[settings of a model]": f'[settings.permuted-mnist.{word}]\norigin = "x"\n',
        "[variants]": f'[variants.{word}]\npermutation = "bit-reversal"\n',
        "[variant]": f"[variants.permuted-mnist]\npermutation = {word}\n",
        "[hyper]": f'[settings.permuted-mnist.rnn]\norigin = "x"\nhyper = {{ {word} = 1 }}\n',
        "[space]": (
            f'[search]\ntrials = 1\nbudget = "tiny"\ntasks = ["permuted-mnist"]\n[search.space.rnn]\n{word} = [1]\n'
        ),
    }
    if place in added:
        path = suite(tmp_path, TINY, TINY + added[place])
    elif place == "[budgets.tiny]":
        path = suite(tmp_path, place, f"[budgets.{word}]")
    elif place == "images = { mnist":
        path = suite(tmp_path, place, f"images = {{ {word}")
    else:
        path = suite(tmp_path, place, re.sub(r'"[^"]*"', word.replace("\\", "\\\\"), place))
    with pytest.raises(UsageError) as raised:
        make_plan(load_suite(str(path)), Request())
    text = one_line(str(raised.value))
    assert text.isprintable()
    assert len(text) < 1200


@pytest.mark.parametrize(
    "name", ["a\0.py:C", "/x" * 200 + ".py:C", "x" * 300 + ":C", "torch.nn:../x", "a:b.py:C", "..:C", *NAMES]
)
def test_no_model_is_found_under_a_hostile_name(name: str) -> None:
    with pytest.raises(AsrnnError):
        make_plan(load_suite("long-range"), Request(models=[name or " "]))


@pytest.mark.parametrize(
    "flag", ["--suite", "--models", "--tasks", "--budget", "--seeds", "--launcher", "--logger", "--time-limit"]
)
@pytest.mark.parametrize("name", few(["a\nb", "\x1b[31m", "[red]", "../../x", "x" * 300, HALF_A_PAIR], 1))
def test_a_hostile_name_on_the_command_line_is_one_line(
    flag: str, name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [flag, name] if flag == "--suite" else ["--suite", "long-range", f"{flag}={name}"]
    assert invoke([*words, "--dry-run"]) == 2
    text = one_line(capfd.readouterr().err)
    assert text.isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 300, "\x1b[31mred", "a\nb", "<script>", "=1", "\u202eabc", "\udcff"])
@pytest.mark.parametrize("verb", ["status", "leaderboard"])
def test_a_folder_of_a_hostile_name_is_shown_as_text(
    verb: str, name: str, tmp_path: Path, job: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / name
    if len(name) < 255:
        directory = JobDirectory.of(runs, job)
        directory.write_job(job)
        (directory.path / "job.json").write_text("{}")
        (directory.path / "result.json").write_text("{}")
    invoke([verb, str(runs), *(["--leaderboards", str(tmp_path / "lb")] if verb == "leaderboard" else [])])
    said = capfd.readouterr()
    assert said.out + said.err
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())


def hostile(job: Job, word: str) -> list[Record]:
    """Return records in which every text for people is hostile."""
    model = job.model.model_copy(update={"hyper": {"mode": word}})
    job = job.model_copy(update={"settings": word, "model": model})
    good = done(job, 0.5)
    lost = without_result(job.model_copy(update={"seed": 7}), "failed", word)
    return [good.model_copy(update={"scan_backend": word, "environment": {"cpu": word}}), lost]


@pytest.mark.parametrize("word", [*WORDS, HALF_A_PAIR])
def test_hostile_text_stays_in_its_cell_in_every_table(job: Job, word: str) -> None:
    records = hostile(job, word)
    text = csv_text(records)
    text.encode()
    (row,) = csv.DictReader(io.StringIO(text))
    for column in COLUMN_NAMES:
        cell = row[column]
        assert cell.isprintable(), column
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), column
    table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    assert table.to_csv(index=False, lineterminator="\n") == text
    assert list(table.iloc[0]) == list(row.values())
    lines = board_markdown(boards(records)[0]).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in rows[:3]}) == 1
    assert len({line.count("|") for line in rows[3:]}) == 1
    assert len(rows) == 6
    assert all(line.isprintable() for line in lines)
    assert not re.search(r"<|\]\(|`", "".join(rows))
    if word.isprintable() and word.strip() == word:  # where Markdown is read, its references are the characters again
        assert word in unescape("\n".join(lines))


def test_numbers_below_zero_stay_numbers(job: Job) -> None:
    record = done(job, 0.5)
    negative = record.model_copy(update={"job": job.model_copy(update={"settings": "-0.5"})})
    (row,) = csv.DictReader(io.StringIO(csv_text([negative])))
    assert row["hyperparameters_from"] == "'-0.5"
    assert float(row["mean"]) == 0.5


@pytest.mark.parametrize("word", ["a\nb", "\x1b[31m", "\u202eabc", "a\0b", "", HALF_A_PAIR])
def test_a_reason_can_be_written_kept_and_read_whatever_it_is(job: Job, word: str, tmp_path: Path) -> None:
    directory = JobDirectory.of(tmp_path, job)
    directory.write_job(job)
    directory.skip("failed", word)
    state, reason = directory.state()
    assert state == "failed"
    assert (reason or "").isprintable()
    record = without_result(job, "failed", word)
    record.text().encode()
    assert (record.reason or "").isprintable()


@pytest.mark.parametrize("word", ["\x1b[31m", "a\nb", "\u202eabc", "x" * 300, "[red]x[/red]"])
def test_words_for_people_in_a_suite_are_one_line(tmp_path: Path, word: str) -> None:
    added = f"[settings.permuted-mnist.rnn]\norigin = {quoted(word)}\n"
    path = suite(tmp_path, TINY, TINY.replace('"four steps"', quoted(word)) + added)
    loaded = load_suite(str(path))
    plan = make_plan(loaded, Request())
    origins = {job.settings for job in plan.jobs}
    assert len(origins) == 2
    assert all(origin.isprintable() for origin in [*origins, loaded.budgets["tiny"].summary])
    console = Console(file=io.StringIO(), markup=False, width=200)
    console.print(terminal_table([done(job, 0.5) for job in plan.jobs]))
