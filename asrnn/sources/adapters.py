"""Recurrent layers of other packages that are models by name: those of ``torch.nn`` and of torchrecurrent.

``torch.nn:GRU`` is called ``torch-nn-gru`` and ``torchrecurrent:LEM`` ``torchrecurrent-lem``, so that no layer is taken
for a cell of this package: they start from other weights, and may compute something else. Nothing here imports the
packages: which layers there are is read from their source text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from asrnn.errors import ModelError
from asrnn.sources.source_code import exported_names, is_importable


@dataclass(frozen=True, slots=True)
class Adapter:
    """A package whose layers are models.

    Args:
        package: what references to them begin with.
        exports: the module whose text binds all of them.
        advice: what to do where the package is not installed.
    """

    package: str
    exports: str
    advice: str

    @property
    def prefix(self) -> str:
        """What the names of its layers begin with."""
        return f"{self.package.replace('.', '-')}-"

    def is_installed(self) -> bool:
        """Return whether its layers can be found."""
        return is_importable(self.package.partition(".")[0])

    def layers(self) -> list[str]:
        """List its recurrent layers: every class ``X`` beside whose name there is an ``XCell``."""
        names = exported_names(self.exports)
        return sorted(name for name in names if f"{name}Cell" in names)

    def name_of(self, layer: str) -> str:
        """Return what a layer is called: its own word in lower case, behind the package's."""
        return self.prefix + layer.lower()

    def require(self, layer: str, asked: str) -> None:
        """Refuse a layer that is not there.

        Args:
            layer: its class.
            asked: how it was asked for, for the message.

        Raises:
            ModelError: it has no such recurrent layer, with the near match, or is not installed.
        """
        if not self.is_installed():
            raise ModelError(f"{asked} is of a package that is not installed: {self.advice}")
        there = self.layers()
        if layer not in there:
            raise ModelError(
                f"{self.package} has no recurrent layer '{layer}'{_near(layer, there)} it has: {', '.join(there)}"
            )


ADAPTERS = (
    Adapter("torch.nn", "torch.nn.modules", "pip install torch"),
    Adapter("torchrecurrent", "torchrecurrent", "pip install torchrecurrent"),
)


def layer_in(module: str, class_name: str) -> tuple[Adapter, str] | None:
    """Return the adapter's layer that ``module:class_name`` is, if it is one.

    A module below a package leads to the package's layer too: a class says that it is from ``torch.nn.modules.rnn``.

    Raises:
        ModelError: the module is the package itself, and has no such recurrent layer or is not installed.
    """
    for adapter in ADAPTERS:
        if module == adapter.package:
            adapter.require(class_name, f"{module}:{class_name}")
            return adapter, class_name
        if module.startswith(f"{adapter.package}.") and adapter.is_installed() and class_name in adapter.layers():
            return adapter, class_name
    return None


def layer_called(name: str) -> tuple[Adapter, str] | None:
    """Return the adapter's layer that has this name, if names of this kind are an adapter's.

    Raises:
        ModelError: they are, and it has no such recurrent layer or is not installed.
    """
    adapter = adapter_of(name)
    if adapter is None:
        return None
    word = name.removeprefix(adapter.prefix)
    there = adapter.layers() if adapter.is_installed() else []
    layer = next((layer for layer in there if layer.lower() == word), word)
    adapter.require(layer, name)
    return adapter, layer


def name_of_layer(reference: str) -> str | None:
    """Return what the layer of a reference such as ``torch.nn:GRU`` is called; None for a reference of another kind."""
    package, _, layer = reference.partition(":")
    return next((adapter.name_of(layer) for adapter in ADAPTERS if layer and adapter.package == package), None)


def adapter_of(name: str) -> Adapter | None:
    """Return the adapter whose layers' names begin as this one does: no other model may have such a name."""
    return next((adapter for adapter in ADAPTERS if name.startswith(adapter.prefix)), None)


def may_be_a_layer(name: str) -> bool:
    """Return whether this is the name of a layer, or may be one where the package is not installed."""
    adapter = adapter_of(name)
    if adapter is None:
        return False
    return not adapter.is_installed() or name in map(adapter.name_of, adapter.layers())


def _near(layer: str, there: Iterable[str]) -> str:
    words = {name.lower(): name for name in there}
    near = get_close_matches(layer.lower(), words, n=1, cutoff=0.5)
    return f"; did you mean '{words[near[0]]}'?" if near else ";"
