"""One job, from its configuration to its record, in this process."""

import logging
import math
import random
import warnings
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from safetensors.torch import save

from asrnn.errors import DamagedDataError, ModelError
from asrnn.models import RecurrentModel, assemble
from asrnn.registry import ModelSource
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
from asrnn_bench.worker.baselines import Chance, LogisticRegression
from asrnn_bench.worker.beats import Beats
from asrnn_bench.worker.checkpoints import Checkpoints
from asrnn_bench.worker.correct_answers import CorrectAnswers
from asrnn_bench.worker.loggers import make_loggers
from asrnn_bench.worker.progress import Progress
from asrnn_bench.worker.provenance import environment
from asrnn_bench.worker.resuming import Resumption
from asrnn_bench.worker.selection import DivergedError, Selection, exact_share
from asrnn_bench.worker.stopping import StopRequest, SupersededError
from asrnn_data.base import SequenceDataModule
from asrnn_data.tasks import find_task

PLAIN = Options()

LOG_EVERY_STEPS = 10
"""How often the loggers are told the training loss."""

Model = RecurrentModel | Chance | LogisticRegression


def named_seed(purpose: str, seed: int) -> int:
    """Return the seed of one purpose, so that no two random things ever share a stream."""
    text = f"asrnn-bench/{purpose}/{seed}"
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1


def prepare_torch(threads: int) -> None:
    """Give torch a job's threads, the algorithms that give the same numbers every time, and no subnormal numbers.

    What is below 1.2e-38 counts as 0: of gradients that vanish, Intel's processors take a hundred cycles for each such
    number, and ``nn.LSTM`` took 5 s for a step of 0.8 s at B = 128, T = 784 and 128 units.
    """
    leave_out_advice()
    torch.set_flush_denormal(True)  # first: the threads that torch starts later have it from this one
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Or every new tensor is filled with NaN before it is written to: 7 ms of an antisymmetric step's 176, at B = 128,
    # T = 784, H = 128 and one thread. What no code should read changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def leave_out_advice() -> None:
    """Keep a worker's log free of what Lightning says to everybody: of its other products, of srun, and to itself."""
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
    """Train the job of ``directory`` from its newest checkpoint on, select on validation, test once; return the record.

    Args:
        directory: the job's.
        attempt: this process's attempt.
        options: how to run it.
        rank: which of the job's processes this one is; all but the first return ``None``.
        stop: whether this process was asked to stop.
        beats: what this process's progress is written with so far; a new one by default.

    Raises:
        ModelError: the model cannot be imported or built, or breaks the contract of shapes.
        DataError: its data are missing or not the published ones.
        PreemptedError: it was asked to stop; all that it did is saved.
        SupersededError: a later attempt has taken over.
    """
    job, first = wait_out(directory.job), rank.number == 0
    data = build_data(job, Path(options.data_dir) if options.data_dir else None)
    data.setup()
    seed = named_seed(f"training{f'/rank-{rank.number}' if rank.number else ''}", job.seed)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - a model may use it
    gpu = torch.device("cuda", rank.local) if torch.cuda.is_available() else None
    model = build(job, directory, data, gpu)
    if options.world_size > 1 and not torch.cuda.is_available():
        _refuse_batch_statistics(model, job)
    module = build_module(job, model, data.num_classes)
    checkpoints = Checkpoints(directory.checkpoints, job.whole_key, job.training.steps)
    found = wait_out(checkpoints.newest)
    if first:
        if not wait_out(lambda: directory.is_latest(attempt)):
            raise SupersededError(f"attempt {attempt.number + 1} has taken over the job")
        wait_out(lambda: checkpoints.tidy(found))
        begins = f"step {found.step} ({found.which})" if found.path else "scratch"
        wait_out(lambda: attempt.write_start(begins, found.refused))
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
            trainer.validate(module, datamodule=data, verbose=False)  # the last steps, or a model without any
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


def build_data(job: Job, data_dir: Path | None) -> SequenceDataModule:
    """Return the job's data module, after a check that its protocol assets are the ones the job names."""
    task = find_task(job.task.name)
    planned = (job.task.version, job.task.sequence_length or task.sequence_length)
    assets = task.assets(job.task.images, **job.task.variants)
    if (task.version, task.sequence_length) != planned or assets != job.task.assets:
        raise DamagedDataError(
            f"the job was planned with another version of task {job.task.name}; run the suite again to plan it anew"
        )
    module, _, name = task.datamodule.partition(":")
    data_module: type[SequenceDataModule] = getattr(import_module(module), name)
    sizes = {"batch_size": job.training.batch_size, "seed": job.seed}
    return data_module(data_dir, images=job.task.images, **sizes, **job.task.variants)  # type: ignore[arg-type]


def build(job: Job, directory: JobDirectory, data: SequenceDataModule, device: torch.device | None = None) -> Model:
    """Return the job's model, initialised by its own seed and nothing else, and tried on the device it trains on."""
    if job.model.name == "chance":
        return Chance(data.labels("train"), data.num_classes)
    if job.model.name == "logistic-regression":
        return LogisticRegression(data.sequence_length, data.input_size, data.num_classes)
    target = job.model.target
    if job.model.origin == "file":
        path = directory.model_path(job)
        target = f"{path}:{target.rpartition(':')[2]}"
        if sha256(path.read_bytes()).hexdigest() != job.model.code["sha256"]:
            raise ModelError(
                f"{path} is not the file that the job was planned with; delete {directory.path}, run again"
            )
    if job.model.hidden_size is None:
        raise ModelError(f"job {job.label} names no hidden size")
    return assemble(
        ModelSource(job.model.name, job.model.origin, target, job.model.code),  # type: ignore[arg-type]
        job.model.hyper,
        input_size=data.input_size,
        hidden_size=job.model.hidden_size,
        num_outputs=data.num_classes,
        seed=named_seed("initialization", job.seed),
        device=device,
    )


def _refuse_batch_statistics(model: Model, job: Job) -> None:
    """Refuse what normalises over a batch that several processes share, which torch synchronises on GPUs only."""
    if any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise ModelError(
            f"{job.model.name} normalises over the batch, which several processes can share on GPUs only: "
            "use --devices-per-job 1"
        )


def build_module(job: Job, model: Model, num_classes: int) -> SequenceClassifier:
    """Return what trains the model as the job says."""
    training = job.training
    own = {"schedule", "schedule_steps", "schedule_factor", "batch_size", "max_steps", "validate_every", "rung"}
    return SequenceClassifier(
        model,
        num_classes=num_classes,
        schedule=training.schedule,
        schedule_steps=training.schedule_steps or training.max_steps,
        schedule_factor=training.schedule_factor,
        **training.model_dump(exclude=own),
    )


def build_trainer(
    job: Job,
    callbacks: Sequence[Callback],
    options: Options = PLAIN,
    checkpoints: Checkpoints | None = None,
    loggers: Sequence[Logger] = (),
) -> Trainer:
    """Return the trainer of a job, on this process's one device or as one of several ranks."""
    # The environment is named so that Lightning does not take a Slurm allocation around us for its own.
    plugins: list[Any] = [LightningEnvironment(), *([checkpoints] if checkpoints else [])]
    gpu, several = torch.cuda.is_available(), options.world_size > 1
    return Trainer(
        accelerator="cuda" if gpu else "cpu",
        devices=options.devices_per_job,
        num_nodes=options.nodes_per_job,
        strategy="ddp" if several else "auto",
        sync_batchnorm=several and gpu,
        use_distributed_sampler=False,
        plugins=plugins,
        callbacks=list(callbacks),
        max_steps=job.training.max_steps,
        max_epochs=-1,
        val_check_interval=job.training.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=list(loggers) or False,
        log_every_n_steps=LOG_EVERY_STEPS,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _scores(
    job: Job,
    trainer: Trainer,
    module: SequenceClassifier,
    data: SequenceDataModule,
    selection: Selection,
    verdicts: CorrectAnswers,
) -> Scores:
    """Return what the selected weights score; they are tested once, on every sample of the test set."""
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
