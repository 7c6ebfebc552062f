"""Choose the contenders: registered models, and peers from other packages that are installed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from asrnn.errors import UnknownNameError, UsageError
from asrnn.registry import ModelSource, find_model, list_models
from asrnn_bench.planning.suite_files import load_suite


@dataclass(frozen=True)
class Contender:
    """A recurrence to be timed.

    Args:
        name: its name in tables.
        kind: ``model``, built by ``asrnn.build_model``; ``layer``, the unchanged layer of a peer; or ``jax``.
        target: the argument of ``build_model``, or ``module:Class``.
        package: the package of its code, with the version.
        backend: the back end of its scans, as :func:`asrnn.ops.scan_with` names it.
        setting: ``plain``, without a worker's settings for memory and subnormal numbers; ``bfloat16``, with autocast.
    """

    name: str
    kind: Literal["model", "layer", "jax"]
    target: str
    package: str
    backend: str = "auto"
    setting: Literal["", "plain", "bfloat16"] = ""

    @property
    def own_process(self) -> bool:
        """Whether it needs its own process, because of its settings or of another library's threads."""
        return self.kind == "jax" or self.setting == "plain"


SUITE = "long-range"
"""The suite whose models are timed by default."""

REFERENCE = "nn.LSTM"
"""The peer to which all others are compared. It is always timed."""

PEERS = {
    "nn.RNN": "torch.nn:RNN",
    "nn.GRU": "torch.nn:GRU",
    "nn.LSTM": "torch.nn:LSTM",
    "torchrecurrent.AntisymmetricRNN": "torchrecurrent:AntisymmetricRNN",
    "torchrecurrent.GatedAntisymmetricRNN": "torchrecurrent:GatedAntisymmetricRNN",
    "torchrecurrent.LEM": "torchrecurrent:LEM",
    "torchrecurrent.UnICORNN": "torchrecurrent:UnICORNN",
    "jax.AntisymmetricRNN": "jax:antisymmetric",
    "jax.LSTM": "jax:lstm",
    "nn.LSTM-plain": "torch.nn:LSTM",
    "nn.LSTM-bfloat16": "torch.nn:LSTM",
}
"""The peers. Each is timed where its package is installed.

``nn.LSTM-plain`` is ``nn.LSTM`` with default settings; workers keep freed memory and treat subnormal numbers as 0.
``nn.LSTM-bfloat16`` runs under autocast, where the processor has products of bfloat16.
"""

BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")
"""Linux's names of processor features for products of bfloat16."""

ALL = "all"
"""The name that stands for every registered model."""


def choose_contenders(names: Sequence[str]) -> tuple[Contender, ...]:
    """Return the contenders with these names, by default the suite's models and the installed peers.

    ``nn.LSTM`` is always among them. ``all`` stands for every registered model. A peer has its own name and, as in
    suites, its reference: ``nn.GRU`` is ``torch.nn:GRU``. ``lem@loop`` is a model with a given scan back end.

    Args:
        names: the names of models and peers.

    Raises:
        UnknownNameError: a name is neither a registered model's nor a peer's.
        UsageError: a named peer is not installed, or two contenders have the same name.
        ModelError: a file or module does not exist, cannot be parsed, or does not define the class.
    """
    named = [each for name in names for each in (list_models() if name == ALL else [name])]
    chosen = [_contender(name) for name in named or load_suite(SUITE).models]
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
    return [_peer(name) for name in PEERS if _why_not(name) is None]


def missing_peers() -> list[str]:
    """Return a line for each package of peers that is not installed, and one if the processor lacks bfloat16."""
    missing: dict[str, list[str]] = {}
    for name, target in PEERS.items():
        if _version(target) is None:
            missing.setdefault(_package(target), []).append(name)
    lines = [f"not installed, so not timed: {', '.join(peers)}; pip install {name}" for name, peers in missing.items()]
    reason = why_no_bfloat16()
    return lines + ([f"not timed: nn.LSTM-bfloat16; {reason}"] if reason else [])


def why_no_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return why products of bfloat16 are not timed on this processor, or None."""
    try:
        flags = cpuinfo.read_text(encoding="utf-8", errors="replace").partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        flags = []
    return None if set(BFLOAT16_FLAGS) & set(flags) else "this processor has neither AVX512-BF16 nor AMX"


def _contender(reference: str) -> Contender:
    name, at, backend = reference.rpartition("@")
    if at and backend.isalpha():  # a path may contain an @ too
        found = _contender(name)
        if found.kind == "layer":
            raise UsageError(f"{name} runs by itself: only models take a back end, as in lem@loop")
        return replace(found, name=reference, backend=backend)
    name = reference
    peer = next((peer for peer, target in PEERS.items() if name in (peer, target)), None)
    if peer is not None:
        reason = _why_not(peer)
        if reason:
            raise UsageError(reason)
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
    target, package = PEERS[name], _package(PEERS[name])
    code = f"{package} {_version(target)}"
    if package == "jax":
        return Contender(name, "jax", target, code)
    settings: dict[str, Literal["plain", "bfloat16"]] = {"nn.LSTM-plain": "plain", "nn.LSTM-bfloat16": "bfloat16"}
    return Contender(name, "layer", target, code, setting=settings.get(name, ""))


def _why_not(name: str) -> str | None:
    """Return why a peer cannot be timed here, or None."""
    if _version(PEERS[name]) is None:
        return f"{name} is not installed; pip install {_package(PEERS[name])}"
    reason = why_no_bfloat16() if name == "nn.LSTM-bfloat16" else None
    return f"{name} is not timed: {reason}" if reason else None


def _package(target: str) -> str:
    return target.partition(":")[0].partition(".")[0]


def _version(target: str) -> str | None:
    package = {"asrnn": "asrnn-bench"}.get(_package(target), _package(target))
    try:
        return version(package)
    except PackageNotFoundError:
        return None
