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
        "the task; in brackets what differs, where an edited suite gives the task several protocols",
        lambda seeds: seeds.place.task,
    ),
    Column(
        "model",
        "the model, or the name of a suite's row; `chance` and `logistic-regression` train nothing recurrent",
        lambda seeds: seeds.job.model.name,
    ),
    Column(
        "entry",
        "a model in one configuration a task; rows of different tasks with one entry belong together. The name of the "
        "model; in brackets what differs, where the model has several codes, threads or configurations on a task, as "
        "in `lstm (threads=2)`",
        lambda seeds: seeds.place.entry,
    ),
    Column("rank", "rank of the row on its task; empty where the row or the task is not ranked", None),
    Column(
        "mean_rank",
        "mean of the entry's ranks over the ranked tasks, the same in all its rows; empty for an entry all of whose "
        "scores count for other entries of its model",
        None,
    ),
    Column("metric", "the metric of `mean`: `accuracy`", lambda _: "accuracy"),
    Column(
        "mean",
        "mean test accuracy over seeds, in [0, 1]; empty where no seed has a score",
        lambda seeds: fmean(seeds.accuracies) if seeds.accuracies else None,
    ),
    Column(
        "std",
        "standard deviation of the test accuracy over seeds (n − 1); empty for one seed",
        lambda seeds: stdev(seeds.accuracies) if len(seeds.accuracies) > 1 else None,
    ),
    Column("ci_low", "lower end of the 95 % confidence interval of `mean`", lambda seeds: seeds.interval.low),
    Column("ci_high", "upper end of the 95 % confidence interval of `mean`", lambda seeds: seeds.interval.high),
    Column(
        "ci_method",
        "method of the interval: Wilson's over the test samples; with several seeds Student's t over the seeds, where "
        "that is wider",
        lambda seeds: seeds.interval.method,
    ),
    Column(
        "n_seeds", "number of seeds with a score, over which the mean is taken", lambda seeds: len(seeds.accuracies)
    ),
    Column(
        "n_diverged",
        "number of seeds whose loss became infinite or not a number",
        lambda seeds: seeds.count("diverged"),
    ),
    Column("n_failed", "number of seeds whose job failed", lambda seeds: seeds.count("failed")),
    Column("n_no_data", "number of seeds without data", lambda seeds: seeds.count("no-data")),
    Column("reasons", "the reasons why seeds have no score", lambda seeds: "; ".join(seeds.reasons)),
    Column(
        "val_mean",
        "mean validation accuracy of the selected weights, in [0, 1]",
        lambda seeds: fmean(scores.val_accuracy for scores in seeds.scores) if seeds.scores else None,
    ),
    Column("n_test", "number of test samples, each counted once", lambda seeds: seeds.n_test),
    Column("hidden_size", "number of hidden units", lambda seeds: seeds.job.model.hidden_size),
    Column(
        "parameters_recurrent",
        "number of learnt degrees of freedom without the readout",
        lambda seeds: seeds.cost and seeds.cost.parameters_recurrent,
    ),
    Column(
        "parameters_total",
        "number of learnt degrees of freedom with the readout",
        lambda seeds: seeds.cost and seeds.cost.parameters_total,
    ),
    Column("max_steps", "optimiser steps of the training", lambda seeds: seeds.job.training.max_steps),
    Column("batch_size", "samples a step", lambda seeds: seeds.job.training.batch_size),
    Column("images", "the image set", lambda seeds: seeds.job.task.images),
    Column(
        "variants",
        "the permutation or the noise of the task",
        lambda seeds: plain(" ".join(f"{kind}={name}" for kind, name in sorted(seeds.job.task.variants.items()))),
    ),
    Column(
        "hyperparameters",
        "first those of the training: optimiser, learning rate, and all others that differ from their defaults; then "
        "those of the cell, named as in its paper",
        lambda seeds: hyperparameters(seeds.job),
    ),
    Column(
        "hyperparameters_from",
        "origin of the hyper-parameters: trials of a suite, or `default`",
        lambda seeds: plain(seeds.job.settings),
    ),
    Column(
        "code",
        "identity of the model's code: version of a built-in, digest of a file, distribution and version of a plug-in",
        lambda seeds: code(seeds.job),
    ),
    Column(
        "step_ms",
        "median time of an optimiser step on the clock, in milliseconds, with the batch, without validation; other "
        "work on the machine lengthens it",
        _cost("step_ms"),
    ),
    Column(
        "step_cpu_ms",
        "median processor time of an optimiser step, in milliseconds, over all threads of the job's first process; "
        "compare models on CPU by it (from records of schema 4 on)",
        _cost("step_cpu_ms"),
    ),
    Column("train_seconds", "median time of the training, in seconds, validations included", _cost("train_seconds")),
    Column(
        "peak_memory_mib",
        "largest memory, in MiB: of the process on CPU (torch itself takes about 600), of CUDA on a GPU",
        _cost("peak_memory_mib"),
    ),
    Column(
        "scan_backend",
        "the code that ran the recurrence: `compiled` (C), `triton` (`triton-bfloat16` where the weight was rounded) "
        "or `fused` steps, the `loop` over `step`, `torch`'s kernels, a foreign `module`, `custom`, `none`",
        _cost("scan_backend"),
    ),
    Column("threads", "number of threads of the job on CPU", lambda seeds: seeds.job.threads),
    Column(
        "machine",
        "processor or GPU; times can be compared on one machine with one number of threads and one back end only",
        _cost("machine"),
    ),
    Column("processes", "number of processes that trained a job together", _cost("processes")),
    Column(
        "slots",
        "number of jobs that the runner could run at a time on the machine; empty where it is unknown, as on a cluster",
        _cost("slots"),
    ),
    Column(
        "jobs_per_device",
        "number of jobs that shared a device; empty where it is unknown",
        _cost("jobs_per_device"),
    ),
    Column(
        "suite_version",
        "version of the suite; a changed protocol is a new version",
        lambda seeds: seeds.job.suite_version,
    ),
    Column(
        "protocol",
        "digest of everything that must be equal where models are compared: task, assets, steps, batches",
        lambda seeds: protocol(seeds.job),
    ),
    Column("config", "digest of everything that the seeds of the row share", lambda seeds: seeds.job.config),
)
"""The columns of the CSV, in their order."""


def columns_markdown() -> str:
    """Return the table of columns and their meanings as Markdown."""
    lines = ["| column | meaning, unit |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{column.name}` | {column.meaning} |" for column in COLUMNS)]) + "\n"
