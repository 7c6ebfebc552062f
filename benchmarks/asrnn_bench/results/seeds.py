"""Collect the records of one configuration, one for each seed, for the columns of the leaderboard."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asrnn_bench.files.plain_text import plain
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Cost, Record, Scores, Status
from asrnn_bench.results.costs import costs
from asrnn_bench.results.entries import Place
from asrnn_bench.results.intervals import Interval, interval


@dataclass(frozen=True)
class Seeds:
    """The records of the jobs that differ in nothing but their seeds: one row of the leaderboard.

    Args:
        records: the records, in the order of their seeds.
        place: the row's task and entry.
    """

    records: list[Record]
    place: Place

    @property
    def job(self) -> Job:
        """The job of the first seed; only the seed differs in the others."""
        return self.records[0].job

    @cached_property
    def scores(self) -> list[Scores]:
        """The scores of the seeds that have them."""
        return [record.scores for record in self.records if record.scores is not None]

    @cached_property
    def accuracies(self) -> list[float]:
        """The test accuracies of the seeds that have scores, in [0, 1]."""
        return [scores.test_accuracy for scores in self.scores if scores.test_accuracy is not None]

    @property
    def n_test(self) -> int | None:
        """The number of test samples; ``None`` where no seed has a score."""
        return self.scores[0].test_samples if self.accuracies else None

    @cached_property
    def interval(self) -> Interval:
        """The 95 % interval of the mean test accuracy; empty where no seed has a score."""
        return interval(self.accuracies, self.n_test) if self.n_test else Interval(None, None, "")

    @property
    def cost(self) -> Cost | None:
        """The cost of the first seed that has one."""
        return next((record.cost for record in self.records if record.cost is not None), None)

    @cached_property
    def costs(self) -> dict[str, Any]:
        """What the seeds cost together, and on which machine, as ``costs`` returns it."""
        return costs(self.records)

    @property
    def reasons(self) -> Iterable[str]:
        """The reasons why seeds have no score, each once."""
        return dict.fromkeys(plain(record.reason) for record in self.records if record.reason)

    def count(self, status: Status) -> int:
        """Return how many seeds ended with ``status``."""
        return sum(record.status == status for record in self.records)
