"""Build what a job trains with: the data module, the model, the Lightning module and the trainer."""

from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from asrnn.errors import DamagedDataError, ModelError
from asrnn.models import RecurrentModel, assemble
from asrnn.registry import ModelSource
from asrnn.training import SequenceClassifier
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.records.job import Job
from asrnn_bench.worker.baselines import Chance, LogisticRegression
from asrnn_bench.worker.checkpoints import Checkpoints
from asrnn_data.base import SequenceDataModule
from asrnn_data.tasks import find_task

PLAIN = Options()

LOG_EVERY_STEPS = 10
"""How often the loggers get the training loss."""

Model = RecurrentModel | Chance | LogisticRegression


def named_seed(purpose: str, seed: int) -> int:
    """Return the seed for one purpose, so that no two random processes share a stream."""
    text = f"asrnn-bench/{purpose}/{seed}"
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1


def build_data(job: Job, data_dir: Path | None) -> SequenceDataModule:
    """Return the data module of a job.

    Args:
        job: the job.
        data_dir: the folder of the image sets; by default where they are looked for and downloaded to.

    Raises:
        DamagedDataError: the task or its protocol assets are not those that the job was planned with.
    """
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
    """Return the model of a job, initialised from its own seed.

    Args:
        job: the job.
        directory: its directory, which holds the file that defines the model, if a file does.
        data: its data module.
        device: the device on which the model is tried.

    Raises:
        ModelError: the model cannot be imported or built, or breaks the contract of shapes.
    """
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


def build_module(job: Job, model: Model, num_classes: int) -> SequenceClassifier:
    """Return the Lightning module that trains the model with the settings of the job."""
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
    """Return the trainer of a job, for one device of this process or as one of several ranks."""
    # Without a named environment, Lightning would use a Slurm allocation around this process.
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


def refuse_batch_statistics(model: Model, job: Job) -> None:
    """Refuse a model with batch normalisation, which torch can synchronise between processes on GPUs only.

    Raises:
        ModelError: the model has such a layer.
    """
    if any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        raise ModelError(
            f"{job.model.name} normalises over the batch, which several processes can share on GPUs only: "
            "use --devices-per-job 1"
        )
