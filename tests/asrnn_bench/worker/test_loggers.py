"""Loggers by name: where they write, what they must not change, and that whatever fails in them fails no training."""

import csv
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from asrnn import SequenceClassifier, build_model
from asrnn_bench.jobs import options as module
from asrnn_bench.jobs.options import missing_loggers
from asrnn_bench.worker.loggers import GuardedLogger, make_loggers

# Lightning advises loader processes; these data are of a few kilobytes.
pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, 2, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0, 0] > 0).long()), batch_size=10)


def train(loggers: list[Logger]) -> tuple[dict[str, Tensor], Tensor, dict[str, float]]:
    """Train, validate and test with loggers; return weights, the state of torch's generator, and what was tested."""
    torch.manual_seed(3)
    model = build_model("rnn", input_size=2, hidden_size=4, num_outputs=2, seed=0, dropout=0.5)
    classifier = SequenceClassifier(model, num_classes=2)
    trainer = Trainer(
        accelerator="cpu",
        plugins=[LightningEnvironment()],
        max_epochs=2,
        logger=loggers or False,
        log_every_n_steps=2,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, loader(), loader())
    tested = trainer.test(classifier, loader(), verbose=False)[0]
    return model.state_dict(), torch.get_rng_state(), dict(tested)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[dict[str, Tensor], Tensor, dict[str, float]]:
    return train([])


def assert_same(found: tuple, expected: tuple) -> None:
    assert all(torch.equal(found[0][name], weight) for name, weight in expected[0].items())
    assert torch.equal(found[1], expected[1])
    assert found[2] == expected[2]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_the_metrics_and_the_job_and_changes_no_number(tmp_path, jobs, undisturbed, capfd) -> None:
    assert_same(train(make_loggers(["csv"], tmp_path, jobs[0])), undisturbed)
    found = rows(tmp_path)
    assert [int(row["step"]) for row in found if row["train/loss"]] == [1, 3, 5, 7]
    assert sum(bool(row["val/accuracy"]) for row in found) == 2
    assert float(found[-1]["test/samples"]) == 40
    assert jobs[0].key in (tmp_path / "csv" / "hparams.yaml").read_text()
    assert "logger failed" not in capfd.readouterr().err


def test_each_attempt_has_its_own_file(tmp_path, jobs) -> None:
    for attempt in ("001", "002"):
        train(make_loggers(["csv"], tmp_path / attempt, jobs[0]))
    assert rows(tmp_path / "001") == rows(tmp_path / "002") != []


def test_the_job_is_logged_once_before_all_else_and_not_before_a_trainer_logs(tmp_path, jobs) -> None:
    (logger,) = make_loggers(["csv"], tmp_path, jobs[0])
    assert logger.name == "csv"
    assert list(tmp_path.iterdir()) == []
    logger.save()
    hyperparameters = tmp_path / "csv" / "hparams.yaml"
    assert jobs[0].key in hyperparameters.read_text()
    hyperparameters.unlink()
    logger.log_metrics({"train/loss": 1.0}, 0)
    assert not hyperparameters.exists()


def test_no_logger_is_none(tmp_path, jobs) -> None:
    assert make_loggers([], tmp_path, jobs[0]) == []


def test_other_ranks_write_nothing(tmp_path, jobs, monkeypatch, capfd) -> None:
    loggers = make_loggers(["csv"], tmp_path, jobs[0])
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    for logger in loggers:
        logger.log_metrics({"train/loss": 1.0}, 0)
        logger.save()
        logger.finalize("success")
        assert logger.experiment.whatever() is None
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


# What can fail, and who calls it.
METHODS = {
    "log_metrics": ({"a": 1.0}, 1),
    "log_hyperparams": ({"a": 1},),
    "log_graph": (None,),
    "save": (),
    "finalize": ("success",),
    "after_save_checkpoint": (None,),
}
PROPERTIES = {
    "name": None,
    "version": None,
    "root_dir": None,
    "log_dir": None,
    "save_dir": None,
    "group_separator": "/",
}


class Failing(CSVLogger):
    """A logger that fails where it is told to, and counts how often."""

    def __init__(self, folder: Path, where: str) -> None:
        super().__init__(folder, name="csv", version="")
        self.where, self.failures = where, 0

    def __getattribute__(self, name: str) -> Any:
        if name in (*METHODS, *PROPERTIES, "experiment") and name == self.where:
            self.failures += 1
            raise OSError(28, f"no space for {name}\nand a second line")
        return super().__getattribute__(name)


def failing(folder: Path, where: str) -> tuple[GuardedLogger, Failing]:
    logger = Failing.__new__(Failing)
    logger.where = ""
    logger.__init__(folder, "")
    logger.where = where
    return GuardedLogger("csv", lambda: logger, {"key": "k"}), logger


@pytest.mark.parametrize("where", [*METHODS, *PROPERTIES, "experiment"])
def test_a_logger_that_fails_anywhere_fails_no_training(where, tmp_path, jobs, undisturbed, capfd) -> None:
    guarded, logger = failing(tmp_path, where)
    assert_same(train([guarded]), undisturbed)
    for name, arguments in METHODS.items():
        assert getattr(guarded, name)(*arguments) is None
    for name, default in PROPERTIES.items():
        value = getattr(guarded, name)
        assert value == default or name != where
    assert guarded.experiment is not None
    said = [line for line in capfd.readouterr().err.splitlines() if "logger failed" in line]
    assert said == [
        f"the csv logger failed, and nothing is logged to it from here on: OSError: [Errno 28] no space for {where}"
    ]
    assert logger.failures == 1  # then it is left alone


def test_a_logger_that_cannot_be_made_fails_no_training(tmp_path, undisturbed, capfd) -> None:
    def make() -> Logger:
        raise ModuleNotFoundError("No module named 'tensorboard'")

    guarded = GuardedLogger("tensorboard", make, {})
    assert_same(train([guarded]), undisturbed)
    assert capfd.readouterr().err.count("ModuleNotFoundError: No module named 'tensorboard'") == 1


@pytest.mark.filterwarnings("ignore:Experiment logs directory:UserWarning")
def test_a_full_disk_fails_no_training(tmp_path, jobs, undisturbed, capfd) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full to stand for a full disk")
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").symlink_to("/dev/full")
    assert_same(train(make_loggers(["csv"], tmp_path, jobs[0])), undisturbed)
    assert capfd.readouterr().err.count("No space left on device") == 1


def test_an_interrupt_is_no_failure_of_a_logger(tmp_path) -> None:
    def make() -> Logger:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        GuardedLogger("csv", make, {})


def test_it_says_all_that_the_logger_says(tmp_path) -> None:
    plain = CSVLogger(tmp_path, name="csv", version="")
    guarded = GuardedLogger("csv", lambda: plain, {})
    for name in PROPERTIES:
        assert getattr(guarded, name) == getattr(plain, name)
    assert guarded.experiment is plain.experiment
    assert {name for name in vars(Logger) | vars(Logger.__base__) if not name.startswith("_")} == {
        *METHODS,
        *PROPERTIES,
    }


def test_missing_packages_are_named_with_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert missing_loggers(["csv"]) is None
    assert missing_loggers(["wandb", "csv", "tensorboard"]) == (
        '--logger tensorboard,wandb: not installed here; run `pip install ".[tensorboard,wandb]"` in the sources, '
        "or leave it out"
    )


def test_a_folder_of_that_name_is_no_package(tmp_path, monkeypatch) -> None:
    (tmp_path / "left_by_a_run").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert module.find_spec("left_by_a_run") is not None
    assert not module._is_installed("left_by_a_run")
    assert module._is_installed("json")


def test_what_is_missing_is_found_without_torch() -> None:
    code = (
        "import sys; from asrnn_bench.jobs.options import EXTRAS, missing_loggers; missing_loggers(EXTRAS);"
        "print({'torch', 'lightning', 'wandb', 'tensorboard'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_tensorboard(tmp_path, jobs, undisturbed, capfd) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    assert_same(train(make_loggers(["tensorboard"], tmp_path, jobs[0])), undisturbed)
    assert "logger failed" not in capfd.readouterr().err
    events = list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    assert sum(path.stat().st_size for path in events) > 500
    assert jobs[0].key in (tmp_path / "tensorboard" / "hparams.yaml").read_text()


def test_wandb_stays_offline_under_the_job_s_key(tmp_path, jobs, undisturbed, capfd, monkeypatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    loggers = make_loggers(["wandb"], tmp_path, jobs[0])
    try:
        assert_same(train(loggers), undisturbed)
        assert loggers[0].experiment.id == jobs[0].key[:32]
        assert loggers[0].experiment.config["key"] == jobs[0].key
    finally:
        wandb.teardown()  # it waits for the process that writes the file; finish alone returns before the last of it
    assert "logger failed" not in capfd.readouterr().err
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert run.name.endswith(jobs[0].key[:32])
    assert (run / f"run-{jobs[0].key[:32]}.wandb").stat().st_size > 500


def test_wandb_does_as_its_variables_say(tmp_path, jobs, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    loggers = make_loggers(["wandb"], tmp_path, jobs[0])
    loggers[0].log_metrics({"train/loss": 1.0}, 0)
    assert not list(tmp_path.rglob("*.wandb"))
