"""Nothing unsafe: what is never called, what is never unpickled before its digest, and what no file of a run holds."""

import ast
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_support import TINY, done
from in_process import call_here

from asrnn.errors import DamagedDataError
from asrnn_bench.jobs.directory import JobDirectory
from asrnn_bench.jobs.options import Options
from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.results.publishing import bring_up_to_date
from asrnn_bench.supervising.forked import Template
from asrnn_bench.worker.provenance import environment
from asrnn_data import image_sets
from asrnn_data.image_sets import ImageSet
from asrnn_data.sources import load_images

ROOT = Path(__file__).parents[1]
FOLDERS = ("asrnn", "datamodules", "benchmarks", "examples")

NEVER_IMPORTED = {
    "pickle",
    "cloudpickle",
    "shelve",
    "marshal",
    "dill",
    "joblib",
    "jsonpickle",
    "pty",
    "commands",
    "imp",
    "telnetlib",
}
"""What loads or runs data, and what nothing here needs."""

NEVER_CALLED = {
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "starts a shell",
    "os.popen": "starts a shell",
    "subprocess.getoutput": "starts a shell",
    "subprocess.getstatusoutput": "starts a shell",
    "yaml.load": "makes objects",
    "yaml.unsafe_load": "makes objects",
    "torch.hub.load": "fetches and runs code",
    "torch.hub.load_state_dict_from_url": "fetches and unpickles",
    "torch.jit.load": "runs what it loads",
    "torch.export.load": "runs what it loads",
    "pd.read_pickle": "unpickles",
    "pandas.read_pickle": "unpickles",
    "tempfile.mktemp": "leaves its name to others",
    "logging.config.listen": "runs what it is sent",
}

NEEDED: dict[str, tuple[str, Any]] = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "json.dumps": ("allow_nan", False),
    "json.dump": ("allow_nan", False),
    "extractall": ("filter", "data"),
    "extract": ("filter", "data"),
}
"""By the call, the keyword that it must have, and its value."""


def names_of(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a file stands for, so that no alias hides a call."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    found[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def faults_of(text: str) -> Iterator[str]:
    """What is unsafe in a file, a line each."""
    tree = ast.parse(text)
    names = names_of(tree)
    for node in ast.walk(tree):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        yield from (f"line {node.lineno}: imports {name}" for name in modules if name.split(".")[0] in NEVER_IMPORTED)
        if isinstance(node, ast.Call):
            yield from (f"line {node.lineno}: {fault}" for fault in _faults_of_call(node, names))


def _faults_of_call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    first, dot, rest = ast.unparse(node.func).partition(".")
    called = names.get(first, first) + dot + rest
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in NEVER_CALLED:
        yield f"{called} {NEVER_CALLED[called]}"
    if called.endswith(".load_from_checkpoint"):
        yield f"{called} unpickles"
    if "shell" in keywords:
        yield f"{called} with shell"
    if called in ("__import__", "compile") and called != "re.compile":
        yield f"{called} runs what it is given"
    last = called.rpartition(".")[2]
    wanted = NEEDED.get(called) or (NEEDED.get(last) if last in ("extractall", "extract") else None)
    if wanted is not None:
        given = keywords.get(wanted[0])
        if not (isinstance(given, ast.Constant) and given.value == wanted[1]):
            yield f"{called} without {wanted[0]}={wanted[1]!r}"
    for name, value in (("weights_only", False), ("allow_pickle", True), ("allow_nan", True)):
        given = keywords.get(name)
        if isinstance(given, ast.Constant) and given.value is value and not last.startswith("save"):
            yield f"{called} with {name}={value}"


def test_nothing_unsafe_is_called() -> None:
    found = [
        f"{path.relative_to(ROOT)}, {fault}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for fault in faults_of(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(x)",
        "import torch\ntorch.load(x, weights_only=False)",
        "from torch import load\nload(x)",
        "import torch as t\nt.load(x)",
        "import torch\ntorch.load(x, **options)",
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "eval(text)",
        "import os\nos.system(text)",
        "from os import system as run\nrun(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import json\njson.dumps(value)",
        "from json import dump\ndump(value, file)",
        "import numpy as np\nnp.load(file)",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "import yaml\nyaml.load(text)",
        "import tarfile\ntarfile.open(x).extractall(y)",
        "archive.extractall(y, filter='fully_trusted')",
        "import torch\ntorch.hub.load('a/b', 'c')",
        "trainer.fit(model, ckpt_path=path, weights_only=False)",
        "Module.load_from_checkpoint(path)",
    ],
)
def test_what_is_unsafe_is_seen(text: str) -> None:
    assert list(faults_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(x, map_location='cpu', weights_only=True)",
        "import json\njson.dumps(value, allow_nan=False)",
        "model.eval()",
        "import re\nre.compile(text)",
        "archive.extractall(y, filter='data')",
    ],
)
def test_what_is_safe_is_left_alone(text: str) -> None:
    assert list(faults_of(text)) == []


class _Bomb:
    """Pickled, it makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_an_altered_cifar_file_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one pickle that is loaded is torchvision's CIFAR reader's, after the digests of all its files."""
    published = image_sets.IMAGE_SETS["cifar10"]
    ran = tmp_path / "ran"
    bomb = pickle.dumps({"data": _Bomb(ran), "labels": []})
    for damaged in published.files:
        right = dict.fromkeys(published.files, b"right")
        for path in published.files:
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(bomb if path == damaged else right[path])
        digests = {path: image_sets.sha256_of(_written(tmp_path / "one", content)) for path, content in right.items()}
        found = ImageSet("cifar10", digests, (3, 32, 32), "unit", "holdout-10-v1", 9, 1, 1)
        monkeypatch.setattr(image_sets, "IMAGE_SETS", {"cifar10": found})
        with pytest.raises(DamagedDataError, match=Path(damaged).name):
            load_images("cifar10", tmp_path)
        assert not ran.exists()
    pickle.loads(bomb)  # noqa: S301 - so that the bomb is known to be one
    assert ran.exists()


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


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
