"""What the benchmark's tests share: a tiny suite, records without a training, and the command line as a process."""

import math
import os
import subprocess
import sys
from pathlib import Path

from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Cost, CurvePoint, Record, Scores, Weights

TINY = """
name = "tiny"
version = 1
summary = "a suite that takes seconds"
tasks = ["permuted-mnist"]
models = ["rnn"]
default_budget = "tiny"
full_budget = "tiny"

[budgets.tiny]
summary = "four steps"
max_steps = 4
validate_every = 2
batch_size = 8
hidden_size = 4
seeds = [0]
images = { mnist = "mnist-5k-v1", cifar10 = "cifar10-5k-v1" }
"""

COMMAND = [str(Path(sys.executable).parent / "asrnn-bench")]


def done(job: Job, accuracy: float, *, seconds: float = 0.1) -> Record:
    """A record as a worker would write it, with the given test accuracy."""
    right = round(500 * accuracy) if math.isfinite(accuracy) else 0
    return Record(
        key=job.key,
        job=job,
        status="done",
        attempt=1,
        scores=Scores(
            best_step=200,
            val_accuracy=accuracy,
            val_samples=500,
            test_accuracy=accuracy,
            test_loss=1.5,
            test_samples=500,
            test_bits=pack(place < right for place in range(500)),
            test_order="0" * 64,
        ),
        curve=[CurvePoint(step=200, train_loss=1.0, val_accuracy=accuracy, val_loss=1.2)],
        cost=Cost(
            step_seconds=seconds,
            step_cpu_seconds=seconds,
            train_seconds=25.0,
            peak_memory_mib=900.0,
            parameters_recurrent=100,
            parameters_total=200,
        ),
        weights=Weights(file="attempts/001/weights.safetensors", sha256="0" * 64),
        scan_backend="loop",
        environment={"cpu": "a processor", "accelerator": None},
    )


def call(*words: str | Path, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own, as a user does."""
    plain = {name: value for name, value in os.environ.items() if name not in ("ASRNN_DATA_DIR", "PYTHONWARNINGS")}
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=plain | environment,
        timeout=250,
        check=False,
    )


def one_line(text: str) -> str:
    """The text, after a check that it is a single line and no traceback."""
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) == 1, text
    return text.strip()
