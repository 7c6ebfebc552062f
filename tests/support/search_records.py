"""A tiny suite with a search, and records of its trials, as their workers would write them."""

from bench_support import TINY

from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Record, Scores

SEARCHED = (
    TINY.replace("max_steps = 4", "max_steps = 12").replace("seeds = [0]", 'seeds = [0]\nschedule = "cosine"')
    + """
[search]
trials = 5
budget = "tiny"
tasks = ["permuted-mnist"]

[search.published.permuted-mnist.rnn]
origin = "somebody's paper"
learning_rate = 0.003

[search.space.default]
optimizer = ["adam", "rmsprop"]
learning_rate = { low = 0.001, high = 0.1, log = true }
gradient_clip_norm = ["none", 1.0]
"""
)
"""Five trials, whose rungs are at steps 3, 6 and 12."""


def scored(job: Job, accuracy: float | None) -> Record:
    """A record of a trial with a validation accuracy, or of one that diverged."""
    if accuracy is None:
        return Record(key=job.key, job=job, status="diverged", reason="the loss became nan", attempt=1)
    scores = Scores(best_step=job.training.steps, val_accuracy=accuracy, val_samples=500)
    return Record(key=job.key, job=job, status="done", attempt=1, scores=scores)
