import copy
from typing import Any

import pytest
from pydantic import ValidationError

from asrnn_bench.records import job as records
from asrnn_bench.records.job import Job


def test_the_digests_of_a_job_are_computed_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs[0].model_copy()
    calls: list[object] = []
    original = records.digest
    monkeypatch.setattr(records, "digest", lambda value: calls.append(value) or original(value))
    assert len({job.key for _ in range(5)}) == len({job.config for _ in range(5)}) == 1
    assert len(calls) == 2


def test_a_changed_copy_of_a_job_has_digests_of_its_own(jobs: list[Job]) -> None:
    job = jobs[0]
    before = job.key, job.config
    for deep in (False, True):
        other = job.model_copy(update={"threads": job.threads + 1}, deep=deep)
        assert other.key == Job.model_validate(other.model_dump()).key != job.key
        assert other.config == Job.model_validate(other.model_dump()).config != job.config
    assert (job.key, job.config) == before


def test_a_job_whose_digests_are_known_equals_one_whose_digests_are_not(jobs: list[Job]) -> None:
    job = jobs[0]
    assert job.key
    fresh = Job.model_validate(job.model_dump())
    assert job == fresh
    for same in (copy.copy(job), copy.deepcopy(job)):
        assert same == fresh
        assert same.key == fresh.key


@pytest.mark.parametrize(
    ("part", "update", "message"),
    [
        ("training", {"schedule": "steps"}, "needs schedule_steps and schedule_factor"),
        ("training", {"schedule": "cosine", "schedule_steps": [3]}, "belong to schedule 'steps'"),
        ("training", {"schedule": "steps", "schedule_steps": [4, 4], "schedule_factor": 0.5}, "must grow"),
        ("training", {"rung": 250}, "a rung lies below the 250 steps"),
        ("training", {"rung": 100}, "is a trial, which is not tested"),
    ],
)
def test_a_training_that_contradicts_itself_is_refused(
    jobs: list[Job], part: str, update: dict[str, Any], message: str
) -> None:
    value = jobs[2].model_dump()
    value[part] |= update | ({"max_steps": 250} if "rung" in update else {})
    with pytest.raises(ValidationError, match=message):
        Job.model_validate(value)


def test_a_rung_has_a_key_of_its_own_and_its_checkpoints_the_one_of_the_whole(jobs: list[Job]) -> None:
    whole = jobs[2].model_copy(update={"tested": False})
    assert whole.whole_key == whole.key
    trial = whole.model_copy(update={"training": whole.training.model_copy(update={"rung": 10})})
    assert trial.key != whole.key == trial.whole_key
    assert (trial.training.steps, whole.training.steps) == (10, whole.training.max_steps)
