"""Cases 7, 15, 16 and 17: each way in which a model ends its job has its reason, its number of tries and its row."""

import json
from pathlib import Path

import pytest
from failing_models import MODELS
from fault_support import Bench, endings, kinds, write

from asrnn_bench.job_records import record_of
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.record import Record
from asrnn_bench.results.publishing import write_leaderboards

pytestmark = pytest.mark.slow

OPTIONS = Options(checkpoint_seconds=None, loggers=())  # no attempt gets further than the one before


def _run(name: str, folder: Path, bench: Bench) -> tuple[JobDirectory, Record]:
    """The job of a failing model, run to its end, and its record."""
    from bench_support import TINY

    (folder / "failing.py").write_text(MODELS[name])
    (folder / "tiny.toml").write_text(TINY.replace("max_steps = 4", "max_steps = 12"))
    plan: Plan = make_plan(load_suite(str(folder / "tiny.toml")), Request(models=[f"{folder / 'failing.py'}:Failing"]))
    job = plan.jobs[-1]
    directory = JobDirectory.of(folder / "runs", job)
    directory.write_job(job, plan.files[job.model.name])
    bench.run(directory, OPTIONS)
    record = record_of(directory, job)
    assert record is not None
    json.loads(record.text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return directory, record


@pytest.mark.parametrize(
    ("name", "kind", "attempts", "reason"),
    [
        ("exits", "no-result", 3, "ended with exit status 0 and no result"),
        ("raises", "damaged", 1, "no such gate"),
        pytest.param("raises-in-training", "exception", 1, "ValueError: no such gate", marks=pytest.mark.faults),
        ("imports", "damaged", 1, "a_package_that_nobody_has"),
        pytest.param("memory", "out-of-memory", 1, "out of memory", marks=pytest.mark.faults),
        pytest.param("cuda-memory", "out-of-memory", 1, "Tried to allocate 2 GiB", marks=pytest.mark.faults),
        pytest.param("address-space", "out-of-memory", 1, "out of memory", marks=pytest.mark.faults),
        pytest.param("killed", "killed", 3, "killed by signal 9", marks=pytest.mark.faults),
    ],
)
def test_a_failure_has_its_reason_and_is_tried_as_often_as_it_may_help(
    name: str, kind: str, attempts: int, reason: str, tmp_path: Path, bench: Bench
) -> None:
    directory, record = _run(name, tmp_path, bench)
    assert kinds(directory) == [kind] * attempts
    assert (record.status, record.scores) == ("failed", None)
    assert reason in str(record.reason)
    assert directory.is_given_up(OPTIONS.retries)
    log = directory.attempts()[-1].log.read_text()
    assert ("Traceback" in log) == (kind in ("exception", "damaged") or name in ("cuda-memory", "address-space"))


@pytest.mark.parametrize("name", ["nan", pytest.param("infinite", marks=pytest.mark.faults)])
def test_a_model_that_diverges_is_a_result_without_a_score_and_never_the_first(
    name: str, tmp_path: Path, bench: Bench
) -> None:
    from bench_support import done

    directory, record = _run(name, tmp_path, bench)
    assert kinds(directory) == ["done"]
    assert (record.status, record.scores) == ("diverged", None)
    assert "the training loss became" in str(record.reason)
    other = make_plan(load_suite(str(tmp_path / "tiny.toml")), Request()).jobs[-1]
    write_leaderboards(tmp_path, [record, done(other, 0.01)])
    header, first, second = (tmp_path / "tiny.tiny.csv").read_text().splitlines()
    place = header.split(",").index("mean")
    assert (first.split(",")[1], second.split(",")[1]) == ("rnn", "failing")
    assert second.split(",")[place] == ""


def test_a_job_that_failed_costs_the_next_one_nothing(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "a").mkdir()
    _run("exits", tmp_path / "a", bench)
    job = make_plan(load_suite(str(tmp_path / "a" / "tiny.toml")), Request()).jobs[0]
    directory = write(tmp_path / "b", job)
    bench.run(directory, OPTIONS)
    assert endings(directory)[0]["kind"] == "done"
