"""Provide recurrent cells, their scans, their training and the contract of a leaderboard.

Every name is imported when it is first used, so ``import asrnn`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asrnn.cells import RecurrentCell as RecurrentCell
    from asrnn.cells.parts.fused import FusedCell as FusedCell
    from asrnn.cells.parts.parallel import ParallelCell as ParallelCell
    from asrnn.contract import check_model as check_model
    from asrnn.description import ModelDescription as ModelDescription
    from asrnn.description import describe as describe
    from asrnn.loading import load_model as load_model
    from asrnn.models import RecurrentModel as RecurrentModel
    from asrnn.models import build_cell as build_cell
    from asrnn.models import build_model as build_model
    from asrnn.ops import Recurrence as Recurrence
    from asrnn.registry import ModelSource as ModelSource
    from asrnn.registry import find_model as find_model
    from asrnn.registry import list_models as list_models
    from asrnn.registry import model_sources as model_sources
    from asrnn.training import SequenceClassifier as SequenceClassifier

    __version__: str

_HOME = {
    "FusedCell": "asrnn.cells.parts.fused",
    "ModelDescription": "asrnn.description",
    "ModelSource": "asrnn.registry",
    "ParallelCell": "asrnn.cells.parts.parallel",
    "Recurrence": "asrnn.ops",
    "RecurrentCell": "asrnn.cells",
    "RecurrentModel": "asrnn.models",
    "SequenceClassifier": "asrnn.training",
    "build_cell": "asrnn.models",
    "build_model": "asrnn.models",
    "check_model": "asrnn.contract",
    "describe": "asrnn.description",
    "find_model": "asrnn.registry",
    "list_models": "asrnn.registry",
    "load_model": "asrnn.loading",
    "model_sources": "asrnn.registry",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _installed_version()
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'asrnn' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "__version__"})


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("asrnn-bench")
    except PackageNotFoundError:
        return "0+checkout"  # run from a clone that was never installed
