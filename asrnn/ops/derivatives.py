"""What scans with a backward of their own know of derivatives: one, backwards, of one gradient at a time."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from asrnn.errors import ModelError

# None of these has a public question.


def under_a_transform() -> bool:
    """Return whether a transform of ``torch.func`` or forward-mode differentiation is going on."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def refuse_another(scan: str, *grads: Tensor | None) -> None:
    """Refuse a backward that is to be differentiated itself, or of a batch of gradients.

    Args:
        scan: what kind of scan it is, for the message.
        grads: the gradients that the backward was given.

    Raises:
        ModelError: it is one of these.
    """
    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active() or any(map(_is_batched, grads)):
        raise ModelError(
            f"a {scan} scan has no second derivative, nor batched gradients: run it within "
            "`with asrnn.ops.scan_with('loop'):`, or do without create_graph and is_grads_batched"
        )


def _is_batched(grad: Tensor | None) -> bool:
    """Whether it is a batch of gradients, of ``torch.func.vmap`` or of ``is_grads_batched``."""
    batched = torch._C._functorch
    return grad is not None and (batched.is_batchedtensor(grad) or batched.is_legacy_batchedtensor(grad))
