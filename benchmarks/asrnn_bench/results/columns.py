"""Define the columns of the leaderboard: the name, meaning and unit of each, and how it is computed from records.

To add a column:

1. Add a :class:`Column` to ``COLUMNS``, where it should stand. The CSV and the data frame follow from it.
2. Run ``python tests/asrnn_bench/results/test_columns.py``, which writes the table of ``leaderboards/README.md`` anew.
3. Run ``asrnn-bench leaderboard leaderboards``, which writes the committed leaderboards anew.

The Markdown shows some columns only; ``DETAILS`` in ``results/markdown.py`` names them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from asrnn_bench.files.plain_text import plain
from asrnn_bench.results.entries import code, hyperparameters, protocol
from asrnn_bench.results.seeds import Seeds


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard.

    Args:
        name: its heading in the CSV.
        meaning: what it holds and in which unit, in Markdown.
        value: returns the value for the seeds of a row: a number, a text, or ``None`` for an empty cell. A text that
            somebody else wrote must pass through ``plain``. Columns that compare rows have no such function;
            :func:`asrnn_bench.results.ranking.rank` writes them.
    """

    name: str
    meaning: str
    value: Callable[[Seeds], Any] | None


def _cost(name: str) -> Callable[[Seeds], Any]:
    return lambda seeds: seeds.costs[name]


COLUMNS = (
    Column(
        "task",
        "the task; where a suite was edited so that it has several protocols, what differs is said beside its name",
        lambda seeds: seeds.place.task,
    ),
    Column(
        "model",
        "the model, or the row of the suite that names one; `chance` and `logistic-regression` train nothing recurrent",
        lambda seeds: seeds.job.model.name,
    ),
    Column(
        "entry",
        "what joins a model's rows across tasks: no task has an entry twice. The model's name; where its code or "
        "threads differ, or a task has it in several configurations, what differs is said beside it, as in "
        "`lstm (threads=2)`",
        lambda seeds: seeds.place.entry,
    ),
    Column("rank", "rank on the task among the entries; empty where the row or the task does not count", None),
    Column(
        "mean_rank",
        "mean of the entry's ranks over the tasks that count, the same in all its rows; empty for an entry whose "
        "scores all count for other entries of its model",
        None,
    ),
    Column("metric", "what `mean` is: test accuracy", lambda _: "accuracy"),
    Column(
        "mean",
        "mean over seeds, in [0, 1]; empty where no seed came to a score",
        lambda seeds: fmean(seeds.accuracies) if seeds.accuracies else None,
    ),
    Column(
        "std",
        "standard deviation over seeds (n − 1); empty for one seed",
        lambda seeds: stdev(seeds.accuracies) if len(seeds.accuracies) > 1 else None,
    ),
    Column("ci_low", "lower end of the 95 % interval", lambda seeds: seeds.interval.low),
    Column("ci_high", "upper end of the 95 % interval", lambda seeds: seeds.interval.high),
    Column(
        "ci_method",
        "how it was made: Wilson's over the test samples; with several seeds Student's t over them, where that is "
        "wider",
        lambda seeds: seeds.interval.method,
    ),
    Column("n_seeds", "seeds with a score, those the mean is of", lambda seeds: len(seeds.accuracies)),
    Column("n_diverged", "seeds whose loss stopped being finite", lambda seeds: seeds.count("diverged")),
    Column("n_failed", "seeds whose job failed", lambda seeds: seeds.count("failed")),
    Column("n_no_data", "seeds whose data were not there", lambda seeds: seeds.count("no-data")),
    Column("reasons", "why, where a seed has no score", lambda seeds: "; ".join(seeds.reasons)),
    Column(
        "val_mean",
        "mean validation accuracy of the selected weights, in [0, 1]",
        lambda seeds: fmean(scores.val_accuracy for scores in seeds.scores) if seeds.scores else None,
    ),
    Column("n_test", "test samples, each counted once", lambda seeds: seeds.n_test),
    Column("hidden_size", "hidden units", lambda seeds: seeds.job.model.hidden_size),
    Column(
        "parameters_recurrent",
        "degrees of freedom that are learnt, without the readout",
        lambda seeds: seeds.cost and seeds.cost.parameters_recurrent,
    ),
    Column(
        "parameters_total",
        "degrees of freedom that are learnt, with the readout",
        lambda seeds: seeds.cost and seeds.cost.parameters_total,
    ),
    Column("max_steps", "optimiser steps trained", lambda seeds: seeds.job.training.max_steps),
    Column("batch_size", "samples a step", lambda seeds: seeds.job.training.batch_size),
    Column("images", "the image set", lambda seeds: seeds.job.task.images),
    Column(
        "variants",
        "permutation or noise asset",
        lambda seeds: plain(" ".join(f"{kind}={name}" for kind, name in sorted(seeds.job.task.variants.items()))),
    ),
    Column(
        "hyperparameters",
        "those of the training: optimiser, learning rate, and all others that differ from their defaults; then the "
        "cell's own under its paper's names",
        lambda seeds: hyperparameters(seeds.job),
    ),
    Column(
        "hyperparameters_from",
        "where they come from: trials of a suite, or `default`",
        lambda seeds: plain(seeds.job.settings),
    ),
    Column(
        "code",
        "what identifies the model's code: version of a built-in, digest of a file, distribution and version of a "
        "plug-in",
        lambda seeds: code(seeds.job),
    ),
    Column(
        "step_ms",
        "median milliseconds of an optimiser step on the clock, batch included, validation left out; other work on "
        "the machine lengthens it",
        _cost("step_ms"),
    ),
    Column(
        "step_cpu_ms",
        "median milliseconds of processor time of a step, over all threads of the job's first process; on CPU what to "
        "compare models by (records of schema 4 on)",
        _cost("step_cpu_ms"),
    ),
    Column("train_seconds", "median seconds of the training, validations included", _cost("train_seconds")),
    Column(
        "peak_memory_mib",
        "largest memory, MiB: of the process on CPU (torch itself takes about 600), of CUDA on a GPU",
        _cost("peak_memory_mib"),
    ),
    Column(
        "scan_backend",
        "what ran the recurrence: `compiled` (C), `triton` (`triton-bfloat16` where the weight was rounded) or `fused` "
        "steps, the `loop` over `step`, `torch`'s kernels, a foreign `module`, `custom`, `none`",
        _cost("scan_backend"),
    ),
    Column("threads", "threads of the job on CPU", lambda seeds: seeds.job.threads),
    Column(
        "machine",
        "processor or GPU; compare times within one machine, thread count and back end only",
        _cost("machine"),
    ),
    Column("processes", "processes that trained a job together", _cost("processes")),
    Column(
        "slots",
        "how many jobs the runner had places for on the machine; empty where it does not know, as on a cluster",
        _cost("slots"),
    ),
    Column(
        "jobs_per_device",
        "jobs that shared a device; empty where the runner does not know",
        _cost("jobs_per_device"),
    ),
    Column(
        "suite_version",
        "version of the suite; a changed protocol is a new one",
        lambda seeds: seeds.job.suite_version,
    ),
    Column(
        "protocol",
        "digest of all that must be equal where models are compared: task, assets, steps, batches",
        lambda seeds: protocol(seeds.job),
    ),
    Column("config", "digest of all that seeds of the row share", lambda seeds: seeds.job.config),
)
"""The columns of the CSV, in their order."""


def columns_markdown() -> str:
    """Return the table of columns and their meanings as Markdown."""
    lines = ["| column | meaning, unit |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{column.name}` | {column.meaning} |" for column in COLUMNS)]) + "\n"
