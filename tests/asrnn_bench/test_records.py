import copy

import pytest

from asrnn_bench import records
from asrnn_bench.records import Job


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
