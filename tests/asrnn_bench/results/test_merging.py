import random

import pytest
from bench_support import done

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, without_result
from asrnn_bench.results import merging
from asrnn_bench.results.merging import merge


def test_a_result_is_never_replaced_by_another_one(jobs: list[Job]) -> None:
    first, later = done(jobs[0], 0.5), done(jobs[0], 0.9)
    assert merge([first], [later]) == [first]
    assert merge([first], [without_result(jobs[0], "failed", "a crash")]) == [first]


def test_a_result_replaces_a_failure_and_missing_data(jobs: list[Job]) -> None:
    for status in ("failed", "no-data"):
        assert merge([without_result(jobs[0], status, "why")], [done(jobs[0], 0.5)]) == [done(jobs[0], 0.5)]


def test_a_divergence_is_a_result_and_stays(jobs: list[Job]) -> None:
    diverged = Record(key=jobs[0].key, job=jobs[0], status="diverged", reason="the loss became nan")
    assert merge([diverged], [without_result(jobs[0], "no-data", "why")]) == [diverged]
    assert merge([diverged], [without_result(jobs[0], "failed", "why")]) == [diverged]


def test_a_failure_of_edited_code_goes_and_a_result_of_it_stays(jobs: list[Job]) -> None:
    job = jobs[2]
    edited = job.model_copy(update={"model": job.model.model_copy(update={"code": {"sha256": "ab"}})})
    assert merge([without_result(job, "failed", "why")], [done(edited, 0.5)]) == [done(edited, 0.5)]
    assert len(merge([done(job, 0.4)], [done(edited, 0.5)])) == 2
    assert len(merge([done(job, 0.4)], [without_result(edited, "failed", "why")])) == 2


def test_the_failure_of_another_configuration_stays(jobs: list[Job]) -> None:
    other = jobs[2].model_copy(update={"threads": 2})
    assert len(merge([without_result(other, "failed", "why")], [done(jobs[2], 0.5)])) == 2


def test_a_merge_looks_at_each_record_once(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Record] = []
    every_part = merging._all_but_code
    monkeypatch.setattr(merging, "_all_but_code", lambda record: looks.append(record) or every_part(record))
    lost = [without_result(job, "failed", "why") for job in jobs]
    found = merge(lost, [done(job, 0.5) for job in jobs])
    assert {record.status for record in found} == {"done"}
    assert len(looks) <= 2 * len(jobs)


def test_the_order_of_records_does_not_matter(jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    shuffled = random.Random(0).sample(records, len(records))
    assert merge([], shuffled) == merge(records[:10], records[5:]) == merge([], records)
