"""Save a training between two batches, stop it there, and resume it with the same numbers."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from asrnn_bench.files.disk_errors import wait_out
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.worker.checkpoints import Checkpoints
from asrnn_bench.worker.collectives import gather, own
from asrnn_bench.worker.random_state import capture, restore
from asrnn_bench.worker.stopping import PreemptedError, StopRequest, SupersededError


class Resumption(Callback):
    """Save by time and by step, at the end of the training, and when asked to stop.

    A checkpoint is taken before a batch, after any validation that is due, so that it holds whole steps only. If a stop
    comes during a validation, the checkpoint holds the steps before it and the generators as they were at its start.
    The resumed training begins with that validation.

    Args:
        directory: the job directory.
        attempt: the attempt of this process; once there is a later one, this one no longer saves.
        checkpoints: where to save.
        options: how often.
        stop: says whether this process was asked to stop.
        rung: the steps after which to save and end the training, as if the data had ended; None for all steps.
    """

    def __init__(
        self,
        directory: JobDirectory,
        attempt: Attempt,
        checkpoints: Checkpoints,
        options: Options,
        stop: StopRequest,
        rung: int | None = None,
    ) -> None:
        self.rung = rung
        self.directory, self.attempt, self.checkpoints, self.stop = directory, attempt, checkpoints, stop
        self.every_seconds, self.every_steps = options.checkpoint_seconds, options.checkpoint_steps
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._generators: dict[str, Any] | None = None
        self._between_batches = False
        self._at_validation: list[dict[str, Any]] | None = None  # every rank's generators, before one in a training
        self._is_interrupted = False
        self._owes_validation = False

    def state_dict(self) -> dict[str, Any]:
        """Return the generators of every rank, and whether a validation was interrupted."""
        now = self._at_validation if self._is_interrupted else None
        return {"generators": now or gather(capture()), "owes_validation": self._is_interrupted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the generators of this rank until the first batch."""
        self._generators = own(state_dict["generators"])
        self._owes_validation = state_dict.get("owes_validation", False)  # an earlier version saved none

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting time and steps since the last checkpoint."""
        self.stop.listen_again()
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        steps = [state["step"] for state in gather({"step": trainer.global_step})]
        if len(set(steps)) > 1:
            raise PreemptedError(f"the ranks see different checkpoints, of the steps {steps}; they are asked again")
        if self._owes_validation:
            self._catch_up_on_validation(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore the generators before the first batch, save if it is time, and stop if asked to.

        Raises:
            PreemptedError: the process was asked to stop; all its work is saved.
            SupersededError: a later attempt has taken over.
            StopIteration: the rung is reached; Lightning's loop takes this for the end of the data.
        """
        self._put_generators_back()
        stopping = self._agree(trainer, self.stop.requested)
        paused = trainer.global_step == self.rung
        new = trainer.global_step > self._saved_step
        if new and (stopping or paused or self._agree(trainer, self._is_due(trainer.global_step))):
            self._between_batches = True
            self._save(trainer)
            self._between_batches = False
        if stopping:
            self.stop.end()
        if paused:
            trainer.should_stop = True
            raise StopIteration

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the whole training, so that a kill during the test costs only the test."""
        if trainer.global_step > self._saved_step:
            self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, and restore the generators."""
        self.stop.listen_again()
        self._put_generators_back()
        self._at_validation = gather(capture()) if _is_within_training(trainer) else None
        self._stop_validation(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Stop during a validation if asked to; the steps before it are saved.

        Raises:
            PreemptedError: the process was asked to stop; all its work is saved.
            SupersededError: a later attempt has taken over.
        """
        self._stop_validation(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the generators from the start of the validation."""
        self._at_validation = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, and restore the generators."""
        self.stop.listen_again()
        self._put_generators_back()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:
        """Stop if asked to; the training is saved."""
        if self._agree(trainer, self.stop.requested):  # every rank has as many batches as the others
            self.stop.end()

    def _stop_validation(self, trainer: Trainer) -> None:
        if not self._agree(trainer, self.stop.signal is not None):
            return
        if _is_within_training(trainer) and trainer.global_step > self._saved_step:
            self._is_interrupted = True
            self._save(trainer)
            self._is_interrupted = False
        self.stop.end()

    def _catch_up_on_validation(self, trainer: Trainer) -> None:
        """Run the validation that was interrupted, as Lightning's loop runs one after a step."""
        self._owes_validation = False
        loop = trainer.fit_loop.epoch_loop.val_loop
        first = trainer._logger_connector._first_loop_iter
        loop.restarting, trainer.validating = False, True
        loop.run()
        loop._has_run = False  # otherwise an epoch that ended with this validation never ends
        trainer.training = True
        trainer._logger_connector._first_loop_iter = first

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take the next batch out of Lightning's count, as a resumed training begins with it."""
        if self._between_batches:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            for count in ("total", "current"):
                progress[count]["ready"] -= 1
            progress["is_last_batch"] = False

    def _put_generators_back(self) -> None:
        if self._generators is not None:
            restore(self._generators)
            self._generators = None

    def _is_due(self, step: int) -> bool:
        if self.every_steps is not None and step - self._saved_step >= self.every_steps:
            return True
        return self.every_seconds is not None and time.monotonic() - self._saved_at >= self.every_seconds

    def _save(self, trainer: Trainer) -> None:
        if self._agree(trainer, not wait_out(lambda: self.directory.is_latest(self.attempt))):
            raise SupersededError(f"attempt {self.attempt.number + 1} has taken over the job")
        trainer.save_checkpoint(self.checkpoints.path(trainer.global_step), weights_only=False)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def _agree(self, trainer: Trainer, wanted: bool) -> bool:
        """Return whether any rank wants it, so that all ranks save or none."""
        return wanted if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wanted, all=False)


def _is_within_training(trainer: Trainer) -> bool:
    """Return whether a validation is part of a training, within Lightning's fit."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
