"""Plan a search by synchronous successive halving: the trials of each rung, and which of them go on to the next.

Every model has the same number of trials at every rung of a task, and so the same total of steps (Jamieson and
Talwalkar, 2016; a third goes on, as in Li et al., 2018). Only the records of a rung decide which trials go on.
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
"""One of this many trials goes on from a rung."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A trial of a model on a task: its number, its settings, and its whole training as a job."""

    number: int
    settings: Settings
    whole: Job

    def until(self, steps: int) -> Job:
        """Return the job that trains for the first ``steps`` steps of the whole training."""
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
        """Return how many trials take part in a rung. Rungs count from 0."""
        left = len(self.trials)
        for _ in range(rung):
            left = ceil(left / SHARE)
        return left

    def steps(self, rung: int) -> int:
        """Return how many steps a rung adds to those of the rungs before it."""
        before = self.rungs[rung - 1] if rung else 0
        return self.places(rung) * (self.rungs[rung] - before)

    def jobs(self, rung: int, trials: Sequence[Trial]) -> list[Job]:
        """Return the jobs of some trials at a rung."""
        return [trial.until(self.rungs[rung]) for trial in trials]

    def going_on(self, rung: int, ended: Mapping[int, Record]) -> list[Trial]:
        """Return the trials that go on from a rung: the best by validation accuracy, and the first of equals.

        There are as many as the next rung has places, or fewer if fewer have a score.

        Args:
            rung: the rung, counted from 0.
            ended: the records of the trials of the rung, by the number of the trial.
        """
        ranked = sorted(
            (-record.scores.val_accuracy, number) for number, record in ended.items() if record.scores is not None
        )
        chosen = {number for _, number in ranked[: self.places(rung + 1)]}
        return [trial for trial in self.trials if trial.number in chosen]


@dataclass(frozen=True)
class SearchPlan:
    """All trials of a search in groups, and the plan that their jobs share."""

    plan: Plan
    groups: tuple[Group, ...]

    def of(self, jobs: Sequence[Job]) -> Plan:
        """Return a plan of some of the jobs."""
        return replace(self.plan, jobs=list(jobs))

    @property
    def rungs(self) -> int:
        """The number of rungs."""
        return len(self.groups[0].rungs)

    def steps(self, rung: int) -> int:
        """Return how many steps a rung adds in all groups to those of the rungs before it."""
        return sum(group.steps(rung) for group in self.groups)


def plan_search(suite: SuiteSpec, request: Request) -> SearchPlan:
    """Return the trials of a suite's search, for the requested models and tasks.

    The logistic regression has trials, too, unless the request names only other models.

    Raises:
        UsageError: the suite has no search, a model has no search space, or a name is unknown.
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
