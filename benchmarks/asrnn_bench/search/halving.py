"""Synchronous successive halving as pure data: which trials there are, and which go on from a rung to the next.

Every model has the same number of trials at every rung of a task, so the same total of steps (Jamieson and Talwalkar,
2016; a third goes on, as in Li et al., 2018). What goes on depends on the records of the rung alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from asrnn.errors import UnknownNameError, UsageError
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.settings import Settings
from asrnn_bench.planning.spec import NOT_RECURRENT, SuiteSpec
from asrnn_bench.planning.trials import draw, search_of
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record

SHARE = 3
"""One in so many trials goes on from a rung."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One try of a model on a task: its number, its settings, and the whole training as a job."""

    number: int
    settings: Settings
    whole: Job

    def until(self, steps: int) -> Job:
        """Return the job that trains for so many of the steps of the whole training, as the whole one does."""
        training = self.whole.training
        rung = steps if steps < training.max_steps else None
        words = f"{self.whole.settings}, {steps:,} steps"
        return self.whole.model_copy(update={"training": training.model_copy(update={"rung": rung}), "settings": words})


@dataclass(frozen=True, eq=False)
class Group:
    """All trials of a model on a task, and the steps of their rungs."""

    task: str
    model: str
    trials: tuple[Trial, ...]
    rungs: tuple[int, ...]

    def places(self, rung: int) -> int:
        """Return how many trials take part in a rung, counted from 0."""
        left = len(self.trials)
        for _ in range(rung):
            left = ceil(left / SHARE)
        return left

    def steps(self, rung: int) -> int:
        """Return how many steps a rung takes, without those of the rungs before it."""
        before = self.rungs[rung - 1] if rung else 0
        return self.places(rung) * (self.rungs[rung] - before)

    def jobs(self, rung: int, trials: Sequence[Trial]) -> list[Job]:
        """Return the jobs of some trials at a rung."""
        return [trial.until(self.rungs[rung]) for trial in trials]

    def going_on(self, rung: int, ended: Mapping[int, Record]) -> list[Trial]:
        """Return the trials that go on from a rung, by their numbers: the best by validation, the first of equals.

        They are as many as the next rung has places, or fewer where fewer came to a score.

        Args:
            rung: counted from 0.
            ended: what the trials that took part in it came to, by their numbers.
        """
        ranked = sorted(
            (-record.scores.val_accuracy, number) for number, record in ended.items() if record.scores is not None
        )
        chosen = {number for _, number in ranked[: self.places(rung + 1)]}
        return [trial for trial in self.trials if trial.number in chosen]


@dataclass(frozen=True)
class SearchPlan:
    """What a search was asked for: its groups, and the plan with whatever their jobs share."""

    plan: Plan
    groups: tuple[Group, ...]

    def of(self, jobs: Sequence[Job]) -> Plan:
        """Return the plan of some of its jobs."""
        return replace(self.plan, jobs=list(jobs))

    @property
    def rungs(self) -> int:
        """How many rungs there are."""
        return len(self.groups[0].rungs)

    def steps(self, rung: int) -> int:
        """Return how many steps all groups take at a rung, without those of the rungs before it."""
        return sum(group.steps(rung) for group in self.groups)


def plan_search(suite: SuiteSpec, request: Request) -> SearchPlan:
    """Return the trials that a suite's search describes, of the models and tasks that were asked for.

    The logistic regression, which has trials as every model has, is left out where only other models are named.

    Raises:
        UsageError: the suite has no search, a model has no space, or a name is unknown.
    """
    search = search_of(suite)
    for task in request.tasks:
        if task not in search.tasks:
            raise UnknownNameError(f"task of the search of {suite.name}", task, search.tasks)
    asked = replace(
        request,
        budget=request.budget or search.budget,
        tasks=request.tasks or search.tasks,
        seeds=[search.seed],
        of_search=True,
    )
    plan = make_plan(suite, asked)
    unnamed = {name for name in NOT_RECURRENT if request.models and name not in request.models} | {"chance"}
    places = [(job.task.name, job.model.name) for job in plan.jobs if job.model.name not in unnamed]
    if not places:
        raise UsageError("there is nothing to search for: chance has no settings")
    drawn = {(task, model): draw(search, model, task) for task, model in places}
    trials: dict[tuple[str, str], list[Trial]] = {place: [] for place in places}
    for number in range(1, search.trials + 1):
        settings: dict[str, dict[str, Settings]] = {}
        for task, model in places:
            settings.setdefault(task, {})[model] = drawn[task, model][number - 1]
        jobs = make_plan(suite.model_copy(update={"settings": settings}), asked).jobs
        found = {(job.task.name, job.model.name): job for job in jobs}
        for task, model in places:
            job = found[task, model].model_copy(update={"tested": False, "settings": f"trial {number}"})
            trials[task, model].append(Trial(number, settings[task][model], job))
    groups = [
        Group(task, model, tuple(own), _rungs(search.rungs, own[0].whole)) for (task, model), own in trials.items()
    ]
    return SearchPlan(plan, tuple(groups))


def _rungs(shares: Sequence[float], job: Job) -> tuple[int, ...]:
    steps = job.training.max_steps
    rungs = tuple(max(1, round(share * steps)) for share in shares)
    if len(set(rungs)) < len(rungs):
        raise UsageError(f"{steps} steps on {job.task.name} are too few for the rungs {list(shares)} of the search")
    return rungs
