"""Find the recurrent layers of ``torch.nn`` and of torchrecurrent, and give them names.

``torch.nn:GRU`` is named ``torch-nn-gru``, and ``torchrecurrent:LEM`` ``torchrecurrent-lem``. A layer does not have the
name of a built-in cell, because it starts from other weights and may compute something else. The packages are not
imported: the list of their layers is read from their source text.
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
        package: the part of a reference before the colon.
        exports: the module whose source text names all layers.
        advice: what to do if the package is not installed.
    """

    package: str
    exports: str
    advice: str

    @property
    def prefix(self) -> str:
        """The beginning of the names of its layers."""
        return f"{self.package.replace('.', '-')}-"

    def is_installed(self) -> bool:
        """Return whether the package is installed."""
        return is_importable(self.package.partition(".")[0])

    def layers(self) -> list[str]:
        """List its recurrent layers: every class ``X`` for which there is a class ``XCell``."""
        names = exported_names(self.exports)
        return sorted(name for name in names if f"{name}Cell" in names)

    def name_of(self, layer: str) -> str:
        """Return the name of a layer: the prefix of the package and the class name in lower case."""
        return self.prefix + layer.lower()

    def require(self, layer: str, asked: str) -> None:
        """Refuse a layer that the package does not have.

        Args:
            layer: the name of its class.
            asked: the reference that a user gave, for the message.

        Raises:
            ModelError: the package has no such recurrent layer, or is not installed.
        """
        if not self.is_installed():
            raise ModelError(f"{asked} is of a package that is not installed: {self.advice}")
        layers = self.layers()
        if layer not in layers:
            raise ModelError(
                f"{self.package} has no recurrent layer '{layer}'{_near(layer, layers)} it has: {', '.join(layers)}"
            )


ADAPTERS = (
    Adapter("torch.nn", "torch.nn.modules", "pip install torch"),
    Adapter("torchrecurrent", "torchrecurrent", "pip install torchrecurrent"),
)


def layer_at(module: str, class_name: str) -> tuple[Adapter, str] | None:
    """Return the adapter and the layer of ``module:class_name``; None if it is no layer of an adapter.

    A module below the package leads to the layer too: the classes of ``torch.nn`` say ``torch.nn.modules.rnn``.

    Raises:
        ModelError: the module is the package itself, which has no such recurrent layer or is not installed.
    """
    for adapter in ADAPTERS:
        if module == adapter.package:
            adapter.require(class_name, f"{module}:{class_name}")
            return adapter, class_name
        if module.startswith(f"{adapter.package}.") and adapter.is_installed() and class_name in adapter.layers():
            return adapter, class_name
    return None


def layer_named(name: str) -> tuple[Adapter, str] | None:
    """Return the adapter and the layer of a name; None if the name does not begin as the names of an adapter do.

    Raises:
        ModelError: the package has no such recurrent layer, or is not installed.
    """
    adapter = adapter_of(name)
    if adapter is None:
        return None
    lower_name = name.removeprefix(adapter.prefix)
    layers = adapter.layers() if adapter.is_installed() else []
    layer = next((layer for layer in layers if layer.lower() == lower_name), lower_name)
    adapter.require(layer, name)
    return adapter, layer


def name_of_layer(reference: str) -> str | None:
    """Return the name of the layer of a reference such as ``torch.nn:GRU``; None for another reference."""
    package, _, layer = reference.partition(":")
    return next((adapter.name_of(layer) for adapter in ADAPTERS if layer and adapter.package == package), None)


def adapter_of(name: str) -> Adapter | None:
    """Return the adapter with whose prefix a name begins; no other model may have such a name."""
    return next((adapter for adapter in ADAPTERS if name.startswith(adapter.prefix)), None)


def may_be_a_layer(name: str) -> bool:
    """Return whether a name is that of a layer; if the package is not installed, whether it begins as one."""
    adapter = adapter_of(name)
    if adapter is None:
        return False
    return not adapter.is_installed() or name in map(adapter.name_of, adapter.layers())


def _near(layer: str, layers: Iterable[str]) -> str:
    by_lower_name = {name.lower(): name for name in layers}
    near = get_close_matches(layer.lower(), by_lower_name, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower_name[near[0]]}'?" if near else ";"
