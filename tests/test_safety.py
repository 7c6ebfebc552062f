"""No file is loaded in a way that could run code, and none is unpickled before its digest is checked.

Ruff's rules S find most unsafe calls (``eval``, ``pickle``, shells, ``yaml.load``); here are those that they miss.
"""

import ast
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asrnn.errors import DamagedDataError
from asrnn_data import image_sets
from asrnn_data.image_sets import ImageSet
from asrnn_data.sources import load_images

ROOT = Path(__file__).parents[1]
FOLDERS = ("asrnn", "datamodules", "benchmarks", "examples")

NEVER_IMPORTED = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}
"""Modules that run what they load."""

NEVER_CALLED = {
    "torch.hub.load": "fetches and runs code",
    "torch.hub.load_state_dict_from_url": "fetches and unpickles",
    "torch.jit.load": "runs what it loads",
    "torch.export.load": "runs what it loads",
    "logging.config.listen": "runs what it is sent",
    "__import__": "runs what it is given",
    "compile": "runs what it is given",
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
"""The keyword that a call must have, and its value."""


def names_of(tree: ast.Module) -> dict[str, str]:
    """Return the full name of each imported name of a file, so that no alias hides a call."""
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
    """Yield a line for each unsafe import or call in a file."""
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
        "import joblib.numpy_pickle",
        "from pickle import loads",
        "__import__(name)",
        "import json\njson.dumps(value)",
        "from json import dump\ndump(value, file)",
        "import numpy as np\nnp.load(file)",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "import tarfile\ntarfile.open(x).extractall(y)",
        "archive.extractall(y, filter='fully_trusted')",
        "import torch\ntorch.hub.load('a/b', 'c')",
        "trainer.fit(model, ckpt_path=path, weights_only=False)",
        "Module.load_from_checkpoint(path)",
    ],
)
def test_unsafe_code_is_found(text: str) -> None:
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
def test_safe_code_is_not_reported(text: str) -> None:
    assert list(faults_of(text)) == []


class _Bomb:
    """Pickled, it makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_an_altered_cifar_file_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only torchvision's CIFAR reader unpickles anything, and only after the digests of all its files were checked."""
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
