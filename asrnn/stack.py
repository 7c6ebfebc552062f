"""Build stacks of recurrent layers with the norms, gates, dropout and skip connections of published models."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from asrnn.errors import ModelError, UnknownNameError
from asrnn.layers import layer_num_parameters, layer_output_size, layer_scan_backend, num_elements, run_layer
from asrnn.shapes import positive_size

NORMS = ("none", "layer", "batch", "rms")


@dataclass(frozen=True)
class StackOptions:
    """The parts of a stack other than its recurrent layers; the defaults give one layer alone.

    Args:
        num_layers: the number of layers; each has its own weights, and all have the same hyper-parameters.
        residual: add the input of each layer to its output; the stack then begins with a linear map from I to H.
        norm: ``none``, ``layer`` (:class:`torch.nn.LayerNorm`), ``rms`` (:class:`torch.nn.RMSNorm`), both over the
            numbers of one step; or ``batch`` (:class:`torch.nn.BatchNorm1d`), over samples and time together: in
            training a sample then depends on its batch and on its own future, in evaluation on neither.
        norm_first: normalise the input of each layer instead of the sum after the skip connection. Without ``residual``
            the input of the first layer is the data.
        glu: apply GELU, dropout, and a linear map to twice the size, whose second half gates the first
            (:class:`torch.nn.GLU`), to the output of each layer.
        dropout: the probability of dropping a channel after each layer and after the last one, at least 0 and below 1;
            the mask is the same for all steps of a sample (:class:`TiedDropout`).

    Raises:
        ModelError: a value is out of its range.
        UnknownNameError: there is no norm of this name.
    """

    num_layers: int = 1
    residual: bool = False
    norm: str = "none"
    norm_first: bool = False
    glu: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        positive_size("num_layers", self.num_layers)
        for name in ("residual", "norm_first", "glu"):
            if not isinstance(getattr(self, name), bool):
                raise ModelError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.norm not in NORMS:
            raise UnknownNameError("norm", str(self.norm), NORMS)
        if self.norm_first and self.norm == "none":
            raise ModelError("norm_first needs a norm: norm must be layer, batch or rms")
        p: object = self.dropout
        if isinstance(p, bool) or not isinstance(p, Real) or not 0 <= float(p) < 1:
            raise ModelError(f"dropout must be a number of at least 0 and below 1, not {self.dropout!r}")


class TiedDropout(nn.Module):
    """Dropout with one mask for all steps of a sample: y_t = m * x_t, with m = 0 with probability p, else 1 / (1 - p).

    Source: Gal and Ghahramani, NeurIPS 2016, arXiv 1512.05287.

    It takes sequences ``[B, T, H]`` and single steps ``[B, H]``, and draws the same mask for both.

    Args:
        p: the probability of 0, at least 0 and below 1.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop channels in training; return ``x`` itself in evaluation, or if p is 0."""
        if not self.training or self.p == 0:
            return x
        one_step = x[:, :1] if x.ndim == 3 else x
        return x * F.dropout(x.new_ones(one_step.shape), self.p)

    def extra_repr(self) -> str:
        """Show p."""
        return f"p={self.p}"


class Block(nn.Module):
    """One layer of a stack with its norm, gate, dropout and skip connection, in the order of the blocks of S4D and LRU.

    y = x + dropout(glu(layer(norm(x)))) with ``norm_first``, or y = norm(x + dropout(glu(layer(x)))),
    glu(z) = a * sigmoid(b), (a, b) = W dropout(gelu(z)) + c, each part only if the options ask for it.

    Source: Gu et al., NeurIPS 2022, arXiv 2206.11893 (S4D, with a layer norm), and Orvieto et al., ICML 2023, arXiv
    2303.06349 (LRU, with a batch norm first).

    Args:
        layer: a cell, or a module that returns its states ``[B, T, output_size]``.
        input_size: the input size I.
        output_size: the size of the output of the layer at a step; equal to I if the stack is residual.
        options: the parts around the layer; their ``num_layers`` is not read.
    """

    def __init__(self, layer: nn.Module, input_size: int, output_size: int, options: StackOptions) -> None:
        super().__init__()
        self.output_size = output_size
        self.residual = options.residual
        self.norm_first = options.norm_first
        self.norm_over_time = options.norm == "batch"
        self.layer = layer
        self.norm = _norm(options.norm, input_size if options.norm_first else output_size)
        self.glu = nn.Linear(output_size, 2 * output_size) if options.glu else None
        self.dropout = TiedDropout(options.dropout)

    def forward(self, x: Tensor, *, return_sequence: bool = True) -> Tensor:
        """Map ``[B, T, I]`` to ``[B, T, output_size]``, or to the last step of it, ``[B, output_size]``."""
        # Behind the layer the last step depends on the others only through statistics over all of them.
        whole = return_sequence or (self.norm_over_time and not self.norm_first)
        before = self._normalized(x) if self.norm_first else x
        y = run_layer(self.layer, before, self.output_size, return_sequence=whole)
        if self.glu is not None:
            y = F.glu(self.glu(self.dropout(F.gelu(y))), dim=-1)
        y = self.dropout(y)
        if self.residual:
            y = y + (x if whole else x[:, -1])
        if not self.norm_first:
            y = self._normalized(y)
        return y[:, -1] if whole and not return_sequence else y

    def _normalized(self, x: Tensor) -> Tensor:
        if self.norm is None:
            return x
        # [B T, H] has the same statistics, but torch sums them 30 times less exactly in float32.
        normalized: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2) if self.norm_over_time else self.norm(x)
        return normalized


class Stack(nn.Module):
    """Recurrent layers, each of which takes the output of the one before it, ``[B, T, I]`` to ``[B, T, output_size]``.

    >>> import torch
    >>> from asrnn import build_cell
    >>> options = StackOptions(num_layers=3, residual=True, norm="layer", glu=True, dropout=0.1)
    >>> stack = Stack(lambda size: build_cell("antisymmetric", size, 16), 1, 16, options)
    >>> stack(torch.zeros(2, 7, 1)).shape
    torch.Size([2, 7, 16])

    Args:
        build_layer: makes a layer for inputs of a given size: a cell, or a module whose states are ``[B, T, H]``.
        input_size: the input size I.
        hidden_size: the hidden size H.
        options: the number of layers and the parts around each.

    Raises:
        ModelError: a skip connection or a norm does not fit the sizes.
    """

    def __init__(
        self, build_layer: Callable[[int], nn.Module], input_size: int, hidden_size: int, options: StackOptions
    ) -> None:
        super().__init__()
        size = positive_size("input_size", input_size)
        positive_size("hidden_size", hidden_size)
        self.encoder = None
        if options.residual:
            self.encoder, size = nn.Linear(input_size, hidden_size), hidden_size
        self.blocks = nn.ModuleList()
        for _ in range(options.num_layers):
            layer = build_layer(size)
            output_size = layer_output_size(layer, hidden_size)
            if options.residual and output_size != hidden_size:
                raise ModelError(
                    f"a residual stack adds a layer's output to its input, of hidden_size = {hidden_size} numbers, "
                    f"but {type(layer).__name__} gives out {output_size}: build it with residual=False"
                )
            self.blocks.append(Block(layer, size, output_size, options))
            size = output_size
        self.output_size = size

    @property
    def layers(self) -> list[nn.Module]:
        """The recurrent layers without the parts around them, the first one first."""
        return [cast("Block", block).layer for block in self.blocks]

    @property
    def scan_backend(self) -> str:
        """The back ends of the layers, each name once, as in ``compiled+loop``."""
        return "+".join(dict.fromkeys(layer_scan_backend(layer) for layer in self.layers))

    def forward(self, x: Tensor, *, return_sequence: bool = True) -> Tensor:
        """Return the outputs of the last layer; with ``return_sequence=False`` only that of the last step."""
        if self.encoder is not None:
            x = self.encoder(x)
        *lower, top = self.blocks
        for block in lower:
            x = block(x)
        output: Tensor = top(x, return_sequence=return_sequence)
        return output

    def num_parameters(self) -> int:
        """Return the number of learnt degrees of freedom, by ``num_parameters`` of each cell."""
        return num_elements(self) + sum(layer_num_parameters(layer) - num_elements(layer) for layer in self.layers)


def _norm(name: str, size: int) -> nn.Module | None:
    if name in ("layer", "rms") and size == 1:
        raise ModelError(
            f"norm='{name}' of a single number leaves its sign at most: use norm='batch', "
            "or residual=True where it is the input that has one"
        )
    match name:
        case "layer":
            return nn.LayerNorm(size)
        case "rms":
            return nn.RMSNorm(size)
        case "batch":
            return nn.BatchNorm1d(size)
    return None
