"""Train the job of a directory and return its record."""

import logging
import math
import random
import warnings
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Trainer
from safetensors.torch import save

from asrnn.training import SequenceClassifier
from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.handover import Rank
from asrnn_bench.jobs.options import Options
from asrnn_bench.jobs.weights import write_weights
from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Cost, Record, Scores
from asrnn_bench.worker.beats import Beats
from asrnn_bench.worker.building import (
    build,
    build_data,
    build_module,
    build_trainer,
    named_seed,
    refuse_batch_statistics,
)
from asrnn_bench.worker.checkpoints import Checkpoints, LoadedCheckpoint
from asrnn_bench.worker.correct_answers import CorrectAnswers
from asrnn_bench.worker.loggers import make_loggers
from asrnn_bench.worker.progress import Progress
from asrnn_bench.worker.provenance import environment
from asrnn_bench.worker.resuming import Resumption
from asrnn_bench.worker.selection import DivergedError, Selection, exact_share
from asrnn_bench.worker.stopping import StopRequest, SupersededError
from asrnn_data.base import SequenceDataModule


def prepare_torch(threads: int) -> None:
    """Set the number of threads, select deterministic algorithms, and treat subnormal numbers as 0.

    Subnormal numbers are those below 1.2e-38. Vanishing gradients pass through them, and Intel's processors take some
    hundred cycles for each: a step of ``nn.LSTM`` took 5 s in place of 0.8 s at B = 128, T = 784 and 128 units.

    Args:
        threads: the threads of the job.
    """
    leave_out_advice()
    torch.set_flush_denormal(True)  # first: threads that torch starts later inherit it
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise torch fills every new tensor with NaN: 7 of the 176 ms of an antisymmetric step at B = 128, T = 784,
    # H = 128 and one thread. No code reads these values, so no result changes.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def leave_out_advice() -> None:
    """Keep advice out of the worker's log: advertisements, a hint about srun, and a warning of Lightning to itself."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_advertisement)
    warnings.filterwarnings("ignore", "The `srun` command is available")
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")


def _is_no_advertisement(record: logging.LogRecord) -> bool:
    return "Tip:" not in str(record.msg)


def train(
    directory: JobDirectory,
    attempt: Attempt,
    options: Options,
    rank: Rank,
    stop: StopRequest,
    beats: Beats | None = None,
) -> Record | None:
    """Train a job from its newest checkpoint on, select on validation, test once, and return the record.

    Args:
        directory: the job directory.
        attempt: the attempt of this process.
        options: how the job is run.
        rank: the rank of this process; all ranks but the first return None.
        stop: says whether this process was asked to stop.
        beats: the writer of the progress of this process; a new one by default.

    Raises:
        ModelError: the model cannot be imported or built, or breaks the contract of shapes.
        DataError: the data are missing or not the published ones.
        PreemptedError: this process was asked to stop; all its work is saved.
        SupersededError: a later attempt has taken over.
    """
    job, first = wait_out(directory.job), rank.number == 0
    data = build_data(job, Path(options.data_dir) if options.data_dir else None)
    data.setup()
    _seed_generators(job, rank)
    gpu = torch.device("cuda", rank.local) if torch.cuda.is_available() else None
    model = build(job, directory, data, gpu)
    if options.world_size > 1 and not torch.cuda.is_available():
        refuse_batch_statistics(model, job)
    module = build_module(job, model, data.num_classes)
    checkpoints = Checkpoints(directory.checkpoints, job.whole_key, job.training.steps)
    found = wait_out(checkpoints.newest)
    if first:
        _write_start(directory, attempt, checkpoints, found)
    progress = Progress(directory, attempt.number, job.training.steps, silent=not first, beats=beats)
    progress.write("starting", found.step)
    selection = Selection(attempt.path / "metrics.jsonl" if first else None)
    resumption = Resumption(directory, attempt, checkpoints, options, stop, job.training.rung)
    loggers = make_loggers(options.loggers, attempt.path, job) if first else []
    verdicts = CorrectAnswers()
    trainer = build_trainer(job, [selection, progress, verdicts, resumption], options, checkpoints, loggers)
    stop.check()
    reason = None
    try:
        if model.num_parameters():
            trainer.fit(module, datamodule=data, ckpt_path=found.path, weights_only=True)
        stop.check()
        if not selection.curve or selection.curve[-1].step != trainer.global_step:
            trainer.validate(module, datamodule=data, verbose=False)  # the last steps, or a model without parameters
    except DivergedError as error:
        reason = str(error)
    cost = Cost(
        step_seconds=progress.median_step_seconds(),
        step_cpu_seconds=progress.median_step_cpu_seconds(),
        train_seconds=progress.train_seconds(),
        peak_memory_mib=progress.peak_memory_mib(),
        parameters_recurrent=model.num_recurrent_parameters(),
        parameters_total=model.num_parameters(),
    )
    scores = _scores(job, trainer, module, data, selection, verdicts) if reason is None else None
    if not first:
        return None
    weights = None
    if scores is not None:
        content = save(selection.tensors())
        weights = wait_out(lambda: write_weights(attempt, content))
    return Record(
        key=job.key,
        job=job,
        status="done" if reason is None else "diverged",
        reason=reason,
        attempt=attempt.number,
        scores=scores,
        curve=selection.curve,
        cost=cost,
        weights=weights,
        scan_backend=model.scan_backend,
        environment=environment(options.world_size),
    )


def _seed_generators(job: Job, rank: Rank) -> None:
    """Seed the global generators, each rank's with a seed of its own."""
    seed = named_seed(f"training{f'/rank-{rank.number}' if rank.number else ''}", job.seed)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a model may use it


def _write_start(directory: JobDirectory, attempt: Attempt, checkpoints: Checkpoints, found: LoadedCheckpoint) -> None:
    """Write from which checkpoint the attempt starts, unless a later attempt has taken over."""
    if not wait_out(lambda: directory.is_latest(attempt)):
        raise SupersededError(f"attempt {attempt.number + 1} has taken over the job")
    wait_out(lambda: checkpoints.tidy(found))
    begins = f"step {found.step} ({found.which})" if found.path else "scratch"
    wait_out(lambda: attempt.write_start(begins, found.refused))


def _scores(
    job: Job,
    trainer: Trainer,
    module: SequenceClassifier,
    data: SequenceDataModule,
    selection: Selection,
    verdicts: CorrectAnswers,
) -> Scores:
    """Return the scores of the selected weights, which are tested once, on every sample of the test set."""
    best = selection.best
    if best is None:
        raise RuntimeError("no validation ran, so there are no weights to test")
    scores = Scores(best_step=best.step, val_accuracy=best.val_accuracy, val_samples=selection.val_samples)
    if not job.tested:
        return scores
    module.model.load_state_dict(selection.weights)
    measured = trainer.test(module, datamodule=data, verbose=False)[0]
    samples = int(measured["test/samples"])
    if samples != data.num_test:
        raise RuntimeError(f"{samples} test samples were counted, not {data.num_test}")
    loss, correct = measured["test/loss"], verdicts.gathered()
    if len(correct) != samples:
        raise RuntimeError(f"{len(correct)} verdicts came of {samples} test samples")
    return Scores(
        **scores.model_dump(include={"best_step", "val_accuracy", "val_samples"}),
        test_accuracy=exact_share(measured["test/accuracy"], samples),
        test_loss=loss if math.isfinite(loss) else None,
        test_samples=samples,
        test_bits=pack(correct),
        test_order=data.sample_order("test"),
    )
