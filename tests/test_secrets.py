"""No file of a run holds a secret from the environment."""

import json
from pathlib import Path

import pytest
from bench_support import TINY, done
from in_process import call_here

from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.results.publishing import bring_up_to_date
from asrnn_bench.supervising.forked import Template
from asrnn_bench.worker.provenance import environment

CANARIES = {
    "WANDB_API_KEY": "canary-of-wandb",
    "AWS_SECRET_ACCESS_KEY": "canary-of-aws",
    "HF_TOKEN": "canary-of-hf",
    "GITHUB_TOKEN": "canary-of-github",
    "MLFLOW_TRACKING_PASSWORD": "canary-of-mlflow",
    "RAY_AUTH_TOKEN": "canary-of-ray",
    "SLURM_JWT": "canary-of-slurm",
    "https_proxy": "http://user:canary-of-a-proxy@localhost:1",
}


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_secrets")
def test_no_record_and_no_options_hold_a_secret(tmp_path: Path) -> None:
    found = environment()
    assert "canary" not in json.dumps(found)
    assert set(found) == {
        *("asrnn-bench", "torch", "torchvision", "lightning", "torchmetrics", "numpy", "python", "platform", "cpu"),
        *("cpu_capability", "c_compiler", "threads", "accelerator", "cuda", "commit"),
    }
    assert "canary" not in json.dumps(Options().environment())
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    jobs = make_plan(load_suite(str(path)), Request()).jobs
    for job in jobs:
        directory = JobDirectory.of(tmp_path / "runs", job)
        directory.write_job(job)
        directory.publish(done(job, 0.5).model_copy(update={"environment": found}), directory.claim())
    bring_up_to_date(tmp_path, [done(job, 0.5) for job in jobs])
    assert files_with_canaries(tmp_path) == []


@pytest.mark.slow
def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, template: Template) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    found = call_here(template, "--suite", "tiny.toml", "--models", "rnn", cwd=tmp_path, **CANARIES)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "canary" not in found.stdout + found.stderr
    assert len(list(tmp_path.rglob("worker.log"))) == 3
    assert files_with_canaries(tmp_path) == []


def files_with_canaries(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
