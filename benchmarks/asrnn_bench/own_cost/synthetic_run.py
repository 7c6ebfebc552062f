"""Write a synthetic run: job directories in every state, without training, to measure the commands that read them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asrnn.registry import list_models
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.planning.plan import Plan, Request, make_plan
from asrnn_bench.planning.spec import NOT_RECURRENT
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.records.bits import pack
from asrnn_bench.records.job import Job
from asrnn_bench.records.record import Cost, CurvePoint, Record, Scores, Weights
from asrnn_data.tasks import TASKS

STEPS, CURVE_POINTS = 5000, 20
THREADS = 16
"""The threads that write directories. Each waits mostly for the disk, which can sync many files at once."""

CHECKPOINT_BYTES, WEIGHTS_BYTES = 64 << 10, 16 << 10

STATES = ("done",) * 11 + ("diverged", "failed", "killed", "running", "running", *("waiting",) * 4)
"""The states of twenty jobs. A ``killed`` job has failed at its third attempt and is not retried."""

_ENVIRONMENT: dict[str, str | int | float | bool | None] = {
    **dict.fromkeys(("asrnn-bench", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "python"), "2.0.0"),
    "platform": "Linux x86_64",
    "cpu": "a synthetic processor",
    "cpu_capability": "AVX2",
    "c_compiler": "gcc (Debian 12.2.0-14) 12.2.0",
    "threads": 1,
    "accelerator": None,
    "cuda": None,
    "commit": "0123456789ab",
}


def write_suite(path: Path, jobs: int) -> int:
    """Write a suite of all tasks and registered models with about ``jobs`` jobs, and return their exact number."""
    models = list_models()
    seeds = max(1, round(jobs / (len(TASKS) * (len(models) + len(NOT_RECURRENT)))))
    lines = [
        'name = "synthetic"',
        "version = 1",
        'summary = "never trained"',
        f"tasks = {json.dumps(list(TASKS), allow_nan=False)}",
        f"models = {json.dumps(models, allow_nan=False)}",
        "[budgets.scale]",
        'summary = "as many seeds as needed"',
        f"max_steps = {STEPS}",
        f"validate_every = {STEPS // CURVE_POINTS}",
        "batch_size = 128",
        "hidden_size = 128",
        f"seeds = {list(range(seeds))}",
        'images = { mnist = "mnist-5k-v2", cifar10 = "cifar10-5k-v2" }',
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(plan_of(path).jobs)


def plan_of(suite: Path) -> Plan:
    """Return the plan of all jobs of a suite file."""
    return make_plan(load_suite(str(suite)), Request())


def write_run(suite: Path, output: Path) -> None:
    """Write the directories of a suite's jobs. The key of a job chooses its state from ``STATES``.

    This process claims the running jobs, and they run as long as it lives.
    """

    def write(job: Job) -> None:
        directory, number = JobDirectory.of(output, job), int(job.key[:12], 16)
        directory.write_job(job)
        _bring_to(directory, job, STATES[number % len(STATES)], is_second_try=number % 3 == 0)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(write, plan_of(suite).jobs):
            pass


def _bring_to(directory: JobDirectory, job: Job, state: str, *, is_second_try: bool) -> None:
    if state == "waiting":
        directory.wait()
        return
    if is_second_try or state == "killed":
        for _ in range(2 if state == "killed" else 1):
            _end(directory.claim(), 75, "preempted", "preempted by SIGTERM; a checkpoint was saved")
    attempt = directory.claim()
    curve = [CurvePoint(step=step, train_loss=1.0 / step, val_accuracy=0.5, val_loss=1.25) for step in _steps()]
    (attempt.path / "metrics.jsonl").write_text(
        "".join(json.dumps(p.model_dump(), allow_nan=False) + "\n" for p in curve)
    )
    (attempt.path / "worker.log").write_bytes(b"a line that Lightning says at the start of every fit\n" * 40)
    progress = {"attempt": attempt.number, "seq": 100, "phase": "training", "step": 2500, "max_steps": STEPS}
    directory.write_progress({**progress, "loss": 1.5, "steps_per_second": 20.0, "memory_mib": 900.0})
    if state == "running":
        checkpoints = directory.path / "ckpt"
        checkpoints.mkdir()
        for name in ("last.ckpt", "prev.ckpt"):
            (checkpoints / name).write_bytes(bytes(CHECKPOINT_BYTES))
    elif state == "killed":
        _end(attempt, -9, "killed", "ended by signal 9 (killed; Linux does so when memory runs out)")
    elif state == "failed":
        _end(attempt, 70, "exception", "RuntimeError: the sizes of two tensors differ")
    else:
        (attempt.path / "weights.safetensors").write_bytes(bytes(WEIGHTS_BYTES))
        directory.publish(_record(job, attempt.number, curve, is_done=state == "done"), attempt)
        _end(attempt, 0, "done", None)


def _steps() -> range:
    return range(STEPS // CURVE_POINTS, STEPS + 1, STEPS // CURVE_POINTS)


def _end(attempt: Attempt, returncode: int, kind: str, reason: str | None) -> None:
    end = {"returncode": returncode, "kind": kind, "reason": reason, "step": 2500, "seconds": 100.0}
    (attempt.path / "exit.json").write_text(json.dumps(end, allow_nan=False) + "\n", encoding="utf-8")


def _record(job: Job, attempt: int, curve: list[CurvePoint], *, is_done: bool) -> Record:
    right = job.seed * 37 % 101 + 200
    scores = Scores(
        best_step=STEPS,
        val_accuracy=0.5,
        val_samples=500,
        test_accuracy=right / 500,
        test_loss=1.5,
        test_samples=500,
        test_bits=pack(place < right for place in range(500)),
        test_order="0" * 64,
    )
    return Record(
        key=job.key,
        job=job,
        status="done" if is_done else "diverged",
        reason=None if is_done else "the training loss became nan at step 2500",
        attempt=attempt,
        scores=scores if is_done else None,
        curve=curve,
        cost=Cost(
            step_seconds=0.05,
            train_seconds=250.0,
            peak_memory_mib=900.0,
            parameters_recurrent=16640,
            parameters_total=17930,
        ),
        weights=Weights(file=f"attempts/{attempt:03d}/weights.safetensors", sha256="0" * 64),
        scan_backend="compiled",
        environment=_ENVIRONMENT,
    )
