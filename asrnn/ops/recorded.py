"""The steps of a recurrence as operations that autograd records, from the in-place steps that fused scans take."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence, Step


class _CopiesAsSums(TorchFunctionMode):
    """Replace ``copy_`` by operations of which the forms that return a new tensor have a derivative."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the operation, or what stands for it."""
        if func is Tensor.copy_:
            return args[0].zero_().add_(args[1])
        return func(*args, **(kwargs or {}))


def recorded_scan(recurrence: Recurrence, *tensors: Tensor, return_sequence: bool) -> tuple[Tensor, ...]:
    """Run a scan that can be differentiated any number of times; it keeps every intermediate number of every step.

    Args:
        recurrence: what a step is.
        tensors: the operands, in the order of :meth:`Operands.tensors`.
        return_sequence: return the outputs of every step too.

    Returns:
        the outputs of every step ``[B, T, O H]``, or of none ``[B, 0, O H]``, and the state after the last.
    """

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        operands = Operands.of(tensors, recurrence)
        state, size = list(operands.state), operands.state[0].shape[1]
        more = (recurrence.num_slots - recurrence.num_inputs) * size
        outputs = [operands.x.new_empty(len(operands.x), 0, recurrence.num_outputs * size)]
        projected = F.linear(operands.x.transpose(0, 1), operands.weight_ih, operands.bias)
        for u in F.pad(projected, (0, more)).unbind(0):
            after, scratch = (
                [torch.zeros_like(state[0]) for _ in range(n)] for n in (len(state), recurrence.num_scratch)
            )
            recurrence.forward(Step(u.clone(), state, after, operands.weights, operands.vectors, scratch))
            state = after
            if return_sequence:
                outputs.append(torch.cat(state[: recurrence.num_outputs], dim=1)[:, None])
        return torch.cat(outputs, dim=1), *state

    with _CopiesAsSums():
        found: tuple[Tensor, ...] = torch.func.functionalize(run)(*tensors)
    return found
