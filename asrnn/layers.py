"""One recurrent layer, a cell or any other module: how it is run over a sequence, and what it says of itself."""

from torch import Tensor, nn

from asrnn.cells import RecurrentCell
from asrnn.errors import ModelError


def run_layer(layer: nn.Module, x: Tensor, output_size: int, *, return_sequence: bool) -> Tensor:
    """Run a recurrent layer over a sequence ``[B, T, I]``, from its initial state.

    Args:
        layer: a cell, or a module that returns its states ``[B, T, H]``, or a tuple or list that begins with them;
            where the last output is all that is asked for, the last state ``[B, H]`` will do.
        x: the input, ``[B, T, I]``.
        output_size: H, the size of what the layer gives out at a step.
        return_sequence: return the output of every step, ``[B, T, H]``, not of the last one only, ``[B, H]``.

    Raises:
        ModelError: the input, or what the layer returns, has a wrong shape.
    """
    if isinstance(layer, RecurrentCell):
        output: object = layer.scan(x, return_sequence=return_sequence)
    else:
        output = layer(x)
    first = output[0] if isinstance(output, tuple | list) and output else output
    last, sequence = [x.shape[0], output_size], [x.shape[0], x.shape[1], output_size]
    shape = list(first.shape) if isinstance(first, Tensor) else None
    if isinstance(first, Tensor) and shape == sequence:
        return first if return_sequence else first[:, -1]
    if isinstance(first, Tensor) and shape == last and not return_sequence:
        return first
    name = type(layer).__name__
    if shape == last:
        raise ModelError(
            f"{name} returns its last state alone, [B, H] = {last}: to be stacked, or read by its mean, "
            f"it must return the states of all steps, [B, T, H] = {sequence}"
        )
    begins = "or a tuple that begins with"
    others = f"{begins} it" if return_sequence else f"[B, H] = {last}, {begins} one of these"
    found = f"a {type(first).__name__}" if shape is None else str(shape)
    raise ModelError(f"{name} must return [B, T, H] = {sequence}, {others}; found {found}")


def layer_output_size(layer: nn.Module, hidden_size: int) -> int:
    """Return how many numbers a layer gives out at a step: :attr:`RecurrentCell.output_size`, or H."""
    return layer.output_size if isinstance(layer, RecurrentCell) else hidden_size


def layer_scan_backend(layer: nn.Module) -> str:
    """Return what runs a layer: :attr:`RecurrentCell.scan_backend`, or ``module`` for another module."""
    return layer.scan_backend if isinstance(layer, RecurrentCell) else "module"


def layer_num_parameters(layer: nn.Module) -> int:
    """Count the degrees of freedom that a layer learns: a cell counts its own, another module its elements."""
    return layer.num_parameters() if isinstance(layer, RecurrentCell) else num_elements(layer)


def num_elements(module: nn.Module) -> int:
    """Count the elements of the parameters that a module learns."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
