"""Run a recurrent layer, which is a cell or any other module, and read its output size and parameter count."""

from torch import Tensor, nn

from asrnn.cells import RecurrentCell
from asrnn.errors import ModelError


def run_layer(layer: nn.Module, x: Tensor, output_size: int, *, return_sequence: bool) -> Tensor:
    """Run a recurrent layer over a sequence ``[B, T, I]``, from its initial state.

    Args:
        layer: a cell, or a module that returns the outputs ``[B, T, H]``, or a tuple or list that begins with them.
            Without ``return_sequence`` it may return the last output ``[B, H]`` instead.
        x: the input, ``[B, T, I]``.
        output_size: H, the size of the layer's output at one step.
        return_sequence: return the output of every step, ``[B, T, H]``, not only of the last step, ``[B, H]``.

    Raises:
        ModelError: the input or the result of the layer has a wrong shape.
    """
    if isinstance(layer, RecurrentCell) and not _needs_call(layer):
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


def _needs_call(cell: RecurrentCell) -> bool:
    """Return whether a cell must be called, because it has hooks, which ``scan`` skips, or its own ``forward``."""
    another = type(cell).forward is not RecurrentCell.forward or "forward" in vars(cell)
    return another or bool(cell._forward_hooks or cell._forward_pre_hooks)


def layer_output_size(layer: nn.Module, hidden_size: int) -> int:
    """Return the size of a layer's output at one step: its ``output_size`` if it has one, otherwise ``hidden_size``.

    The layers of ``torch.nn`` have no ``output_size``; it follows from ``proj_size`` and ``bidirectional``.
    """
    if isinstance(layer, nn.RNNBase):
        return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    size = getattr(layer, "output_size", None)
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else hidden_size


def layer_scan_backend(layer: nn.Module) -> str:
    """Return the back end of a layer: a cell's :attr:`RecurrentCell.scan_backend`, or ``module``."""
    return layer.scan_backend if isinstance(layer, RecurrentCell) else "module"


def layer_num_parameters(layer: nn.Module) -> int:
    """Return the number of learned degrees of freedom of a cell, or of learned numbers of another module."""
    return layer.num_parameters() if isinstance(layer, RecurrentCell) else num_elements(layer)


def num_elements(module: nn.Module) -> int:
    """Return how many real numbers a module learns. A complex element counts as two."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters() if p.requires_grad)
