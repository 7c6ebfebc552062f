"""Labels of rows and columns differ where configurations or protocols differ."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from bench_support import done

from asrnn_bench.records.job import Job, TrainingConfig
from asrnn_bench.records.record import Record
from asrnn_bench.results.boards import boards
from asrnn_bench.results.entries import OF_THE_BUDGET, hyperparameters
from asrnn_bench.results.leaderboard import csv_text, frame
from asrnn_bench.results.markdown import board_markdown


def with_training(job: Job, **fields: Any) -> Job:
    return job.model_copy(update={"training": job.training.model_copy(update=fields)})


def with_model(job: Job, **fields: Any) -> Job:
    return job.model_copy(update={"model": job.model.model_copy(update=fields)})


@pytest.fixture
def lstm(jobs: list[Job]) -> list[Job]:
    """The jobs of one model, one a task."""
    return [job for job in jobs if job.model.name == "lstm" and job.seed == 0]


def entries(records: list[Record]) -> list[str]:
    """The entries of a leaderboard, after a check that each has one score a task."""
    text = csv_text(records)
    table = pd.read_csv(io.StringIO(text))
    wide = table.pivot(index="entry", columns="task", values="mean")  # it raises where a place is taken twice
    assert int(wide.notna().sum().sum()) == len({record.job.config for record in records})
    assert frame(records)["entry"].tolist() == [row["entry"] for row in csv.DictReader(io.StringIO(text))]
    matrix = board_markdown(boards(records)[0]).partition("\n## ")[0].splitlines()
    assert not any("/" in line for line in matrix if line.startswith("| lstm"))
    return sorted(wide.index)


def test_a_model_in_one_configuration_a_task_is_one_entry(lstm: list[Job]) -> None:
    tuned = [with_training(job, learning_rate=0.001 * (1 + place)) for place, job in enumerate(lstm)]
    assert entries([done(job, 0.5) for job in tuned]) == ["lstm"]


CHANGES: dict[str, tuple[Callable[[Job], Job], str, str]] = {
    "threads": (lambda job: job.model_copy(update={"threads": 2}), "threads=1", "threads=2"),
    "version": (lambda job: with_model(job, code={"version": 7}), "code version=", "code version=7"),
    "rate": (lambda job: with_training(job, learning_rate=0.5), "learning_rate=", "learning_rate=0.5"),
    "own rate": (
        lambda job: with_training(job, structured_learning_rate=0.5),
        "structured_learning_rate=none",
        "structured_learning_rate=0.5",
    ),
    "hyper": (lambda job: with_model(job, hyper={"gamma": 0.25}), "gamma=default", "gamma=0.25"),
    "units": (lambda job: with_model(job, hidden_size=7), "hidden_size=64", "hidden_size=7"),
    "file": (lambda job: with_model(job, target="other:LSTM"), "target=asrnn.cells", "target=other:LSTM"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_configuration_is_another_entry_that_says_what_differs(lstm: list[Job], change: str) -> None:
    alter, word, other_word = CHANGES[change]
    same = [with_training(with_model(job, hyper={}), learning_rate=0.001) for job in lstm]
    found = entries([done(each, 0.5) for job in same for each in (job, alter(job))])
    assert len(found) == 2
    assert all(any(part in label for label in found) for part in (word, other_word)), found


def test_an_edited_file_is_told_apart_by_as_many_digits_as_it_takes(lstm: list[Job]) -> None:
    codes = ["a" * 40 + "0" * 24, "a" * 40 + "1" * 24, "b" * 64]
    found = entries([done(with_model(job, code={"sha256": code}), 0.5) for job in lstm for code in codes])
    assert found == [f"lstm (code sha256={code[:41]})" for code in codes]


def test_settings_that_one_task_has_twice_leave_the_other_tasks_in_one_entry(lstm: list[Job]) -> None:
    """The learning rates of other tasks join neither of the two entries, as a model is tuned task by task."""
    tuned = [with_training(job, learning_rate=0.001 * (1 + place)) for place, job in enumerate(lstm)]
    found = entries([done(job, 0.5) for job in [*tuned, with_training(tuned[0], learning_rate=0.25)]])
    assert found == ["lstm", "lstm (learning_rate=0.001)", "lstm (learning_rate=0.25)"]


def test_settings_that_are_alike_on_all_tasks_join_them(lstm: list[Job]) -> None:
    alike = [with_training(job, learning_rate=0.001) for job in lstm]
    found = [done(job, 0.5) for job in [*alike, with_training(alike[0], learning_rate=0.25)]]
    assert entries(found) == ["lstm (learning_rate=0.001)", "lstm (learning_rate=0.25)"]
    joined = frame(found).groupby("entry").size()
    assert joined["lstm (learning_rate=0.001)"] == len(lstm)


def test_configurations_that_differ_in_invisible_characters_are_two_entries(lstm: list[Job]) -> None:
    both = [with_model(lstm[0], hyper={"mode": word}) for word in ("a b", "a\nb")]
    assert len(entries([done(job, 0.5) for job in both])) == 2


def test_a_protocol_is_a_column_that_says_what_differs(lstm: list[Job]) -> None:
    job = next(job for job in lstm if job.task.name == "permuted-mnist")
    longer = with_training(job, max_steps=job.training.max_steps + 1)
    tasks = set(frame([done(job, 0.5), done(longer, 0.25)])["task"])
    assert tasks == {f"permuted-mnist (max_steps={each.training.max_steps})" for each in (job, longer)}
    assert entries([done(job, 0.5), done(longer, 0.25)]) == ["lstm"]


# A job with a rung is not tested, so that it comes into no leaderboard.
@pytest.mark.parametrize("name", sorted(set(TrainingConfig.model_fields) - OF_THE_BUDGET - {"rung"}))
def test_every_field_of_a_training_that_is_not_its_default_is_shown(lstm: list[Job], name: str) -> None:
    steps: dict[str, Any] = {"schedule": "steps", "schedule_steps": [2, 5], "schedule_factor": 0.0625}
    others: dict[str, Any] = {"optimizer": "adagrad", "schedule": "cosine"}
    value = others.get(name, steps.get(name, 0.0625))
    job = with_training(lstm[0], **(steps if name in steps and name != "schedule" else {name: value}))
    TrainingConfig.model_validate(job.training.model_dump())
    assert value != TrainingConfig.model_fields[name].default
    assert f"{name}={'2+5' if name == 'schedule_steps' else value}" in hyperparameters(job).split()
    assert frame([done(job, 0.5)])["hyperparameters"].tolist() == [hyperparameters(job)]


def test_defaults_are_left_out_but_what_every_training_needs(lstm: list[Job]) -> None:
    training = TrainingConfig(batch_size=1, max_steps=1, validate_every=1)
    job = with_model(lstm[0], hyper={}).model_copy(update={"training": training})
    assert hyperparameters(job) == "optimizer=adam learning_rate=0.001"
    assert hyperparameters(with_training(job, optimizer="sgd")).endswith("momentum=0.9")


def test_a_models_own_hyperparameter_never_hides_one_of_its_training(lstm: list[Job]) -> None:
    job = with_model(with_training(lstm[0], momentum=0.5), hyper={"momentum": 0.25, "gamma": 1.0})
    assert {"momentum=0.5", "hyper.momentum=0.25", "gamma=1.0"} <= set(hyperparameters(job).split())
