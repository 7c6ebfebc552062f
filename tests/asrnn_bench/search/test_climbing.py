"""A search runs the right jobs at each rung, and a second start runs none again, with fake workers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from search_records import scored

from asrnn.errors import UsageError
from asrnn_bench.job_records import records_of
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.ends import End
from asrnn_bench.jobs.options import Options
from asrnn_bench.launching.launcher import LaunchSettings
from asrnn_bench.planning.plan import Plan
from asrnn_bench.preparing import Folders
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import without_result
from asrnn_bench.runner import Outcome
from asrnn_bench.search import climbing
from asrnn_bench.search.climbing import Climb, climb, look
from asrnn_bench.search.halving import SearchPlan

QUIET = Console(quiet=True)

Score = float | str | None
"""What a job comes to: an accuracy, a divergence, or the kind of an end without a result; ``""`` for no end at all."""


class Stage:
    """Plays the runner of a rung, and remembers what it was given."""

    def __init__(self, score: Callable[[Job], Score]) -> None:
        self.score = score
        self.ran: list[list[tuple[str, int, int]]] = []
        self.began: list[int] = []

    def __call__(self, plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> Outcome:
        assert machine.join  # the search itself holds the folder
        directories = [JobDirectory.of(places.output, job) for job in plan.jobs]
        new = [(d, j) for d, j in zip(directories, plan.jobs, strict=True) if not d.is_done()]
        self.ran.append([(job.model.name, number_of(job), job.training.steps) for _, job in new])
        for directory, job in new:
            self.began.append(directory.saved_step())
            directory.write_job(job)
            self._end(directory, job)
        return Outcome(plan, list(records_of(directories, plan.jobs, {})), len(new), [])

    def _end(self, directory: JobDirectory, job: Job) -> None:
        score = self.score(job)
        attempt = directory.claim()
        if isinstance(score, str):
            attempt.write_end(End(75 if score == "preempted" else 70, score or "preempted", "why"))  # type: ignore[arg-type]
            return
        directory.checkpoints.mkdir(exist_ok=True)
        for name in (f"step-{job.training.steps:08d}.ckpt", f"step-{job.training.steps:08d}.ckpt.sha256"):
            (directory.checkpoints / name).write_text(job.whole_key)
        directory.publish(scored(job, score), attempt)


def number_of(job: Job) -> int:
    return int(job.settings.split(",")[0].removeprefix("trial "))


def by_number(job: Job) -> Score:
    return number_of(job) / 10


@pytest.fixture
def places(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "runs", tmp_path / "leaderboards")


def play(
    plan: SearchPlan,
    places: Folders,
    monkeypatch: pytest.MonkeyPatch,
    score: Callable[[Job], Score] = by_number,
    options: Options | None = None,
) -> tuple[Climb, Stage]:
    stage = Stage(score)
    monkeypatch.setattr(climbing, "run_jobs", stage)
    return climb(plan, places, LaunchSettings(options=options or Options()), QUIET), stage


def test_the_best_third_of_each_model_climbs(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, stage = play(plan, places, monkeypatch)
    assert stage.ran == [
        [(model, number, 3) for model in ("rnn", "gru") for number in (1, 2, 3, 4, 5)],
        [(model, number, 6) for model in ("rnn", "gru") for number in (4, 5)],
        [(model, 5, 12) for model in ("rnn", "gru")],
    ]
    assert not found.unsettled
    assert len(found.results) == 16


def test_a_rung_begins_at_the_checkpoints_of_the_last_rung(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stage = play(plan, places, monkeypatch)
    assert stage.began == [0] * 10 + [3] * 4 + [6] * 2


def test_a_rung_whose_checkpoint_is_lost_begins_anew(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(job: Job) -> Score:
        for file in places.output.glob("**/*.ckpt*"):
            if number_of(job) == 5:
                file.unlink()
        return by_number(job)

    found, stage = play(plan, places, monkeypatch, losing)
    assert set(stage.began[10:]) <= {0, 3, 6}
    assert 0 in stage.began[10:]
    assert not found.unsettled


def test_a_finished_search_removes_its_checkpoints_unless_told_to_keep_them(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(plan, places, monkeypatch)
    assert not list(places.output.glob("**/*.ckpt"))
    again = Folders(places.output.with_name("kept"), places.leaderboards)
    play(plan, again, monkeypatch, options=Options(keep_checkpoints=True))
    assert len(list(again.output.glob("**/*.ckpt"))) == 10 + 2 * 4 + 2 * 2  # those of a rung, and what it began with


def test_a_second_start_runs_nothing_and_has_the_same_results(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = play(plan, places, monkeypatch)
    second, stage = play(plan, places, monkeypatch, lambda job: 0.9)
    assert stage.ran == [[], [], []]
    assert [result.record for result in second.results] == [result.record for result in first.results]


@pytest.mark.parametrize("rung", [0, 1, 2])
def test_an_interrupted_search_goes_on_where_it_was(
    rung: int, plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = play(plan, Folders(places.output.with_name("undisturbed")), monkeypatch)
    left = [7, 3, 1][rung]

    def interrupted(job: Job) -> Score:
        nonlocal left
        if job.training.steps == (3, 6, 12)[rung]:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return by_number(job)

    with pytest.raises(KeyboardInterrupt):
        play(plan, places, monkeypatch, interrupted)
    at = look(plan, places)
    assert (at.rung, len(at.jobs)) == (rung, [10, 4, 2][rung])
    found, _ = play(plan, places, monkeypatch)
    expected = [(result.group.model, result.trial.number, result.steps) for result in undisturbed.results]
    assert [(result.group.model, result.trial.number, result.steps) for result in found.results] == expected


def test_a_group_waits_until_all_of_its_trials_have_ended(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was lost from outside may still come to the best score; the other model does not wait for it."""
    lost = {("rnn", 2)}

    def score(job: Job) -> Score:
        return "preempted" if (job.model.name, number_of(job)) in lost else 1 - number_of(job) / 10

    found, stage = play(plan, places, monkeypatch, score)
    assert [(job.model.name, number_of(job)) for job in found.unsettled] == [("rnn", 2)]
    assert stage.ran[1:] == [[("gru", 1, 6), ("gru", 2, 6)], [("gru", 1, 12)]]
    lost.clear()
    found, stage = play(plan, places, monkeypatch, score)
    assert not found.unsettled
    assert stage.ran == [[("rnn", 2, 3)], [("rnn", 1, 6), ("rnn", 2, 6)], [("rnn", 1, 12)]]


def test_a_result_that_another_runner_publishes_meanwhile_counts(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This runner saw the job without an end, and its result came before it asked again."""

    class LateToSee(Stage):
        def __call__(self, plan: Plan, places: Folders, machine: LaunchSettings, console: Console) -> Outcome:
            outcome = super().__call__(plan, places, machine, console)
            unseen = [without_result(record.job, "failed", "ended from outside") for record in outcome.records]
            return replace(outcome, records=unseen)

    stage = LateToSee(by_number)
    monkeypatch.setattr(climbing, "run_jobs", stage)
    found = climb(plan, places, LaunchSettings(), QUIET)
    assert {result.record.status for result in found.results} == {"done"}
    assert stage.ran[-1] == [("rnn", 5, 12), ("gru", 5, 12)]


def test_failed_trials_are_shown_and_the_others_go_on(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(job: Job) -> Score:
        bad = job.model.name == "gru" and number_of(job) != 2
        return by_number(job) if not bad else None if number_of(job) == 3 else "exception"

    found, stage = play(plan, places, monkeypatch, score)
    assert stage.ran[1:] == [[("rnn", 4, 6), ("rnn", 5, 6), ("gru", 2, 6)], [("rnn", 5, 12), ("gru", 2, 12)]]
    statuses = [result.record.status for result in found.results if result.group.model == "gru"]
    assert sorted(statuses) == ["diverged", "done", "done", "done", "failed", "failed", "failed"]


def test_a_model_without_any_score_ends_at_its_first_rung(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, stage = play(plan, places, monkeypatch, lambda job: None)
    assert len(stage.ran) == 1
    assert {result.record.status for result in found.results} == {"diverged"}
    at = look(plan, places)
    assert (at.rung, len(at.jobs), len(at.results)) == (0, 10, 10)


def test_a_search_keeps_a_second_one_out_between_its_rungs(
    plan: SearchPlan, places: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(job: Job) -> Score:
        with pytest.raises(UsageError, match="runs jobs in"):
            climb(plan, places, LaunchSettings(), QUIET)
        return by_number(job)

    play(plan, places, monkeypatch, another)
