"""Who is timed: the registered models, and the peers that are installed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from asrnn.errors import UnknownNameError, UsageError
from asrnn.registry import ModelSource, find_model
from asrnn_bench.planning.spec import load_suite


@dataclass(frozen=True)
class Contender:
    """A recurrence that is timed.

    Args:
        name: what it is called in tables.
        kind: a model that ``asrnn.build_model`` makes, or a layer of a peer, taken raw as its users take it.
        target: what ``build_model`` takes, or ``module:Class``.
        package: where its code comes from, with the version.
        backend: what runs its scans, as :func:`asrnn.ops.scan_with` names it.
    """

    name: str
    kind: Literal["model", "layer"]
    target: str
    package: str
    backend: str = "auto"


SUITE = "long-range"
"""The suite whose models are timed where none is named."""

REFERENCE = "nn.LSTM"
"""The peer that all others are compared with; it is always timed."""

PEERS = {
    "nn.RNN": "torch.nn:RNN",
    "nn.GRU": "torch.nn:GRU",
    "nn.LSTM": "torch.nn:LSTM",
    "torchrecurrent.AntisymmetricRNN": "torchrecurrent:AntisymmetricRNN",
    "torchrecurrent.GatedAntisymmetricRNN": "torchrecurrent:GatedAntisymmetricRNN",
    "torchrecurrent.LEM": "torchrecurrent:LEM",
    "torchrecurrent.UnICORNN": "torchrecurrent:UnICORNN",
}


def choose_contenders(names: Sequence[str]) -> tuple[Contender, ...]:
    """Return the contenders under these names, or by default the suite's models and the peers; ``nn.LSTM`` always.

    A peer is known by its name and, as in suites, by its reference: ``nn.GRU`` is ``torch.nn:GRU``. ``lem@loop`` is a
    model whose scans a certain back end runs.

    Raises:
        UnknownNameError: a name is neither a registered model's nor a peer's.
        UsageError: a peer that was asked for is not installed, or two contenders have one name.
        ModelError: a file or module is not there, cannot be parsed, or does not hold the class.
    """
    chosen = [_contender(name) for name in names or load_suite(SUITE).models]
    chosen += [] if names else installed_peers()
    if REFERENCE not in [contender.name for contender in chosen]:
        chosen.append(_peer(REFERENCE))
    unique = list(dict.fromkeys(chosen))
    for name in {contender.name for contender in unique}:
        if sum(contender.name == name for contender in unique) > 1:
            raise UsageError(f"two of the models to time are called '{name}': rename a class, or time them in turn")
    return tuple(unique)


def installed_peers() -> list[Contender]:
    """Return the peers whose package is installed."""
    return [_peer(name) for name in PEERS if _version(PEERS[name]) is not None]


def missing_peers() -> list[str]:
    """Return a line for each package of peers that is not installed: who is missing, and what to install."""
    missing: dict[str, list[str]] = {}
    for name, target in PEERS.items():
        if _version(target) is None:
            missing.setdefault(_package(target), []).append(name)
    return [f"not installed, so not timed: {', '.join(peers)}; pip install {name}" for name, peers in missing.items()]


def _contender(reference: str) -> Contender:
    name, at, backend = reference.rpartition("@")
    if at and backend.isalpha():  # a path may hold an @ too
        found = _contender(name)
        if found.kind == "layer":
            raise UsageError(f"{name} runs by itself: only models take a back end, as in lem@loop")
        return replace(found, name=reference, backend=backend)
    name = reference
    peer = next((peer for peer, target in PEERS.items() if name in (peer, target)), None)
    if peer is not None:
        if _version(PEERS[peer]) is None:
            raise UsageError(f"{peer} is not installed; pip install {_package(PEERS[peer])}")
        return _peer(peer)
    try:
        return _model(find_model(name))
    except UnknownNameError as error:
        raise UnknownNameError("model", name, (*error.known, *PEERS)) from error


def _model(source: ModelSource) -> Contender:
    named = source.origin in ("built-in", "entry-point")
    code = f"asrnn-bench {_version('asrnn:') or '0+checkout'}" if source.origin == "built-in" else _code(source)
    return Contender(source.name, "model", source.name if named else source.target, code)


def _code(source: ModelSource) -> str:
    if "distribution" in source.code:
        return f"{source.code['distribution']} {source.code['version']}"
    return f"{source.origin} sha256:{str(source.code.get('sha256', ''))[:12]}"


def _peer(name: str) -> Contender:
    target = PEERS[name]
    return Contender(name, "layer", target, f"{_package(target)} {_version(target)}")


def _package(target: str) -> str:
    return target.partition(":")[0].partition(".")[0]


def _version(target: str) -> str | None:
    package = {"asrnn": "asrnn-bench"}.get(_package(target), _package(target))
    try:
        return version(package)
    except PackageNotFoundError:
        return None
