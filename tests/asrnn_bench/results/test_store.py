import random
from pathlib import Path

from bench_support import done

from asrnn_bench.records import Job, without_result
from asrnn_bench.results.store import merge, read_records, write_records


def test_records_come_back_as_they_were(tmp_path: Path, jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    write_records(tmp_path, records)
    found, faults = read_records(tmp_path)
    assert sorted(found, key=lambda r: r.key) == sorted(records, key=lambda r: r.key)
    assert not faults


def test_a_standing_result_is_never_replaced(jobs: list[Job]) -> None:
    first, later = done(jobs[0], 0.5), done(jobs[0], 0.9)
    assert merge([first], [later]) == [first]
    assert merge([first], [without_result(jobs[0], "failed", "a crash")]) == [first]


def test_a_result_takes_the_place_of_a_failure_and_of_missing_data(jobs: list[Job]) -> None:
    for status in ("failed", "no-data"):
        assert merge([without_result(jobs[0], status, "why")], [done(jobs[0], 0.5)]) == [done(jobs[0], 0.5)]


def test_a_failure_of_edited_code_goes_and_a_result_of_it_stays(jobs: list[Job]) -> None:
    job = jobs[2]
    edited = job.model_copy(update={"model": job.model.model_copy(update={"code": {"sha256": "ab"}})})
    assert merge([without_result(job, "failed", "why")], [done(edited, 0.5)]) == [done(edited, 0.5)]
    assert len(merge([done(job, 0.4)], [done(edited, 0.5)])) == 2
    assert len(merge([done(job, 0.4)], [without_result(edited, "failed", "why")])) == 2


def test_nobody_elses_row_is_dropped(tmp_path: Path, jobs: list[Job]) -> None:
    write_records(tmp_path, [done(jobs[0], 0.5)])
    standing, _ = read_records(tmp_path)
    write_records(tmp_path, merge(standing, [done(jobs[1], 0.6)]))
    assert len(read_records(tmp_path)[0]) == 2


def test_the_order_of_records_does_not_matter(jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs]
    shuffled = random.Random(0).sample(records, len(records))
    assert merge([], shuffled) == merge(records[:10], records[5:]) == merge([], records)


def test_a_damaged_file_is_left_out_left_alone_and_named(tmp_path: Path, jobs: list[Job]) -> None:
    records = [done(job, 0.5) for job in jobs[:3]]
    write_records(tmp_path, records)
    files = sorted(tmp_path.rglob("*.json"))
    files[0].write_bytes(files[0].read_bytes()[:100])
    altered = files[1].read_text().replace('"seed": 0', '"seed": 5').replace('"seed": 1', '"seed": 5')
    files[1].write_text(altered)
    found, faults = read_records(tmp_path)
    assert len(found) == 1
    assert len(faults) == 2
    assert str(files[0]) in faults[0]
    assert "altered" in faults[1]
    write_records(tmp_path, found)
    assert files[1].read_text() == altered
    assert len(files[0].read_bytes()) == 100
