"""A search from the command line, with real workers on tiny jobs."""

import csv
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from in_process import Said, call_here
from safetensors.torch import load_file
from search_records import SEARCHED

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Request
from asrnn_bench.planning.spec import SuiteSpec
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.search.halving import plan_search
from asrnn_bench.supervising.forked import Template

WORDS = ("search", "--suite", "tiny.toml", "--devices", "1", "--output", "runs", "--leaderboards", "boards")


@pytest.fixture(scope="module")
def searched(template: Template, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A folder in which a search has run, and what it said."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.toml").write_text(SEARCHED)
    return folder, call_here(template, *WORDS, cwd=folder)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs/tiny.trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_trials_of_all_rungs_are_in_the_csv(searched: tuple[Path, Said]) -> None:
    folder, said = searched
    assert said.returncode == 0, said.stdout + said.stderr
    for line in (
        "5, then 2, then 1 trials of each of 2 pairs",
        "rung 3 of 3: 2 trials until step 12, 22%",
        "best trial",
    ):
        assert line in said.stdout
    found = rows(folder)
    assert [row["rung"] for row in found if row["model"] == "rnn" and row["status"] == "done"].count("3") == 5
    assert len(found) == 2 * (5 + 2 + 1)
    published = [row for row in found if row["published"]]
    assert {(row["model"], row["trial"], row["published"]) for row in published} == {("rnn", "1", "somebody's paper")}
    assert not [column for column in found[0] if "test" in column]
    assert all(float(row["learning_rate"]) and row["optimizer"] and json.loads(row["hyper"]) == {} for row in found)
    assert {row["schedule"] for row in found} == {"cosine"}


def test_the_settings_are_those_of_the_best_trial_and_fit_into_a_suite(searched: tuple[Path, Said]) -> None:
    folder, _ = searched
    tables = tomllib.loads((folder / "runs/tiny.settings.toml").read_text())
    suite = tomllib.loads((folder / "tiny.toml").read_text())
    spec = SuiteSpec.model_validate(suite | tables)
    for model in ("rnn", "logistic-regression"):
        chosen = spec.settings["permuted-mnist"][model]
        (last,) = [row for row in rows(folder) if row["model"] == model and row["rung"] == "12"]
        assert chosen.origin.startswith(f"tiny.trials.csv, permuted-mnist, trial {last['trial']}")
        assert (chosen.optimizer, chosen.learning_rate) == (last["optimizer"], float(last["learning_rate"]))
        assert chosen.gradient_clip_norm == (float(last["gradient_clip_norm"]) if last["gradient_clip_norm"] else None)


def test_equal_tuning_is_drawn_beside_the_leaderboards(searched: tuple[Path, Said]) -> None:
    folder, _ = searched
    for name in ("tiny.equal-tuning.csv", "tiny.equal-tuning.png", "tiny.equal-tuning.svg"):
        assert (folder / "boards" / name).stat().st_size > 100
    assert len((folder / "boards/tiny.equal-tuning.csv").read_text().splitlines()) == 1 + 2 * 5


def test_a_task_without_data_takes_a_line(template: Template, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SEARCHED.replace("permuted-mnist", "pixel-cifar10"))
    words = (*WORDS, "--data-dir", "nowhere")
    said = call_here(template, *words, cwd=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert [line for line in said.stdout.splitlines() if "No data: pixel-cifar10" in line]
    assert "no score" not in said.stdout
    assert "trials ran" not in said.stdout
    assert {row["status"] for row in rows(tmp_path)} == {"no-data"}
    assert not list((tmp_path / "boards").glob("*equal-tuning*"))
    plan = call_here(template, *words, "--dry-run", cwd=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "10 jobs, 0 to run" in plan.stdout


def test_a_trial_that_climbed_is_bit_equal_to_the_undisturbed_training(
    searched: tuple[Path, Said], tmp_path: Path
) -> None:
    folder, _ = searched
    plan = plan_search(load_suite(str(folder / "tiny.toml")), Request(models=["rnn"]))
    (last,) = [row for row in rows(folder) if row["model"] == "rnn" and row["rung"] == "12"]
    whole = plan.groups[0].trials[int(last["trial"]) - 1].until(12)
    climbed, undisturbed = (JobDirectory.of(place, whole) for place in (folder / "runs", tmp_path))
    assert "step 6 " in (climbed.attempts()[-1].path / "start.json").read_text()
    undisturbed.write_job(whole)
    subprocess.run([sys.executable, "-m", "asrnn_bench.worker", str(undisturbed.path)], check=True)
    one, other = climbed.result(), undisturbed.result()
    assert one is not None
    assert other is not None
    assert (one.curve, one.scores) == (other.curve, other.scores)
    weights = [load_file(each.attempts()[-1].path / "weights.safetensors") for each in (climbed, undisturbed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
