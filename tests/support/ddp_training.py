"""One rank of a training that several processes share: ``python ddp_training.py OUT PRECISION WORLD_SIZE``.

LOCAL_RANK says which rank it is, so Lightning starts no processes; without it, it trains alone. What the rank saw is
written to OUT as JSON. Warnings are errors, as in the tests.
"""

import json
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy

from asrnn import SequenceClassifier, build_model
from asrnn_data import PermutedMNIST

STEPS, BATCH_SIZE, EVAL_BATCH_SIZE = 50, 32, 200
COUNTS = (500, 401, 1)
"""Validation samples: all; two shares of which one needs a second batch; fewer than there are ranks."""


class Steps(Callback):
    """The loss of each step, as the curve of a job has it, and how many samples this rank took."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sizes: list[int] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.sizes.append(len(batch[1]))


def data(num_val: int = 500) -> PermutedMNIST:
    module = PermutedMNIST(images="mnist-5k-v1", batch_size=BATCH_SIZE, eval_batch_size=EVAL_BATCH_SIZE)
    whole = module.num_samples
    module.num_samples = lambda part: num_val if part == "val" else whole(part)  # type: ignore[method-assign]
    return module


def train(precision: str, world_size: int) -> dict[str, Any]:
    """Train, validate on the way and test, and return what this rank saw."""
    model = build_model("antisymmetric", input_size=1, hidden_size=32, num_outputs=10, seed=0, epsilon=0.01)
    module = SequenceClassifier(model, optimizer="adam", learning_rate=1e-2)
    module.register_buffer("constant", torch.zeros(1))  # DDP sends buffers with every batch, in evaluations too
    steps = Steps()
    trainer = Trainer(
        accelerator="cpu",
        precision=precision,  # type: ignore[arg-type]
        devices=world_size,
        strategy=DDPStrategy(timeout=timedelta(seconds=60)) if world_size > 1 else "auto",
        plugins=[LightningEnvironment()],
        callbacks=[steps],
        max_steps=STEPS,
        max_epochs=-1,
        val_check_interval=STEPS // 2,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data())
    loader = trainer.fit_loop._combined_loader
    assert loader is not None
    return {
        "rank": trainer.global_rank,
        "world_size": trainer.world_size,
        "loader": type(loader.flattened[0]).__name__,
        "losses": steps.losses,
        "sizes": steps.sizes,
        "validations": [trainer.validate(module, datamodule=data(count), verbose=False)[0] for count in COUNTS],
        "test": trainer.test(module, datamodule=data(), verbose=False)[0],
        "weights": {name: weight.tolist() for name, weight in model.state_dict().items()},
    }


def main() -> None:
    """Train as the command line says."""
    out, precision, world_size = sys.argv[1:]
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # as in pyproject.toml
    warnings.filterwarnings("ignore", "The .srun. command is available", UserWarning)
    warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)  # a copy more, of a small gradient
    Path(out).write_text(json.dumps(train(precision, int(world_size))), encoding="utf-8")


if __name__ == "__main__":
    main()
