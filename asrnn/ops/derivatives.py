"""What scans with a backward of their own leave to autograd: derivatives of derivatives, and batches of gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

# None of these has a public question.


def under_a_transform() -> bool:
    """Return whether a transform of ``torch.func`` or forward-mode differentiation is going on."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def beyond_one_gradient(*grads: Tensor | None) -> bool:
    """Return whether a backward is to be differentiated itself, or is of a batch of gradients.

    Args:
        grads: the gradients that the backward was given.
    """
    return torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or any(map(_is_batched, grads))


def gradients_by_autograd(
    run: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor],
    needed: Sequence[bool],
    grads: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Compute the gradients of a function anew, by operations that autograd records.

    Args:
        run: the function, made of operations that autograd can differentiate any number of times.
        inputs: what it is taken of, as ``save_for_backward`` kept it.
        needed: towards which of them a gradient is needed.
        grads: the gradients towards its outputs, None where an output is not used.

    Returns:
        the gradients towards the inputs, None where none is needed; they have a history of their own where the backward
        that calls this is to be differentiated.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        pairs = [(output, grad) for output, grad in zip(run(*inputs), grads, strict=True) if grad is not None]
    towards = [tensor for tensor, need in zip(inputs, needed, strict=True) if need]
    outputs, given = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, towards, given, create_graph=again, allow_unused=True))
    return [next(found) if need else None for need in needed]


def _is_batched(grad: Tensor | None) -> bool:
    """Whether it is a batch of gradients, of ``torch.func.vmap`` or of ``is_grads_batched``."""
    batched = torch._C._functorch
    return grad is not None and (batched.is_batchedtensor(grad) or batched.is_legacy_batchedtensor(grad))
