"""Compute what a hand-written backward pass does not support: higher derivatives, batches of gradients, transforms.

The functions let autograd differentiate recorded operations instead. Torch has no public interface for several of the
questions they ask.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from asrnn.ops.recurrence import Operands, Recurrence, Step


def under_a_transform() -> bool:
    """Return whether a ``torch.func`` transform or forward-mode differentiation is active."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def beyond_one_gradient(*grads: Tensor | None) -> bool:
    """Return whether a backward pass is to be differentiated itself, or has a batch of gradients.

    Args:
        grads: the gradients that the backward pass received.
    """
    return torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or any(map(_is_batched, grads))


def gradients_by_autograd(
    run: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    needed: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Run a function again with operations that autograd records, and compute its gradients.

    Args:
        run: the function, made of operations that autograd can differentiate any number of times.
        inputs: the inputs of the function, from ``save_for_backward``.
        needed: whether the gradient of each input is needed.
        grads: the gradients of the outputs, None where an output is not used.

    Returns:
        the gradients of the inputs, None where they are not needed. They have a history of their own where the calling
        backward pass is to be differentiated.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        pairs = [(output, grad) for output, grad in zip(run(*inputs), grads, strict=True) if grad is not None]
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
    outputs, output_grads = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, wanted, output_grads, create_graph=create_graph, allow_unused=True))
    return [next(found) if need else None for need in needed]


def _is_batched(grad: Tensor | None) -> bool:
    """Return whether this is a batch of gradients, from ``torch.func.vmap`` or ``is_grads_batched``."""
    batched = torch._C._functorch
    return grad is not None and (batched.is_batchedtensor(grad) or batched.is_legacy_batchedtensor(grad))


class _CopiesAsSums(TorchFunctionMode):
    """Replace ``copy_`` by in-place operations whose out-of-place forms are differentiable."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the operation, or its replacement."""
        if func is Tensor.copy_:
            return args[0].zero_().add_(args[1])
        return func(*args, **(kwargs or {}))


def recorded_scan(recurrence: Recurrence, *tensors: Tensor, return_sequence: bool) -> tuple[Tensor, ...]:
    """Run a scan that autograd can differentiate any number of times. It keeps every intermediate result.

    The in-place step function of the recurrence runs as the same out-of-place operations.

    Args:
        recurrence: the recurrence.
        tensors: the operands, in the order of :meth:`Operands.tensors`.
        return_sequence: return the outputs of every step too.

    Returns:
        the outputs of every step ``[B, T, O H]``, or of none ``[B, 0, O H]``, and the state after the last step.
    """

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        operands = Operands.of(tensors, recurrence)
        state, size = list(operands.state), operands.state[0].shape[1]
        free_slots = (recurrence.num_slots - recurrence.num_inputs) * size
        outputs = [operands.x.new_empty(len(operands.x), 0, recurrence.num_outputs * size)]
        projected = F.linear(operands.x.transpose(0, 1), operands.weight_ih, operands.bias)
        for u in F.pad(projected, (0, free_slots)).unbind(0):
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
