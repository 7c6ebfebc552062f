"""The recurrence of FastRNN: what is new and what was there, each weighed."""

from pathlib import Path

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Tensors

_aten = torch.ops.aten


class Weighed(Recurrence):
    """h_t = a * y_t + c * h_{t-1}, y_t = tanh(M h_{t-1} + u_t), with the vectors a and c; it keeps y_t."""

    num_vectors = 2
    compiled = Path(__file__).with_name("weighed.c")

    def forward(
        self, u: Tensor, before: Tensors, after: Tensors, weights: Tensors, vectors: Tensors, scratch: Tensors
    ) -> None:
        """See :meth:`Recurrence.forward`."""
        (h,), (new, old) = before, vectors
        torch.addmm(u, h, weights[0].t(), out=u).tanh_()
        torch.mul(h, old, out=after[0]).addcmul_(u, new)

    def backward(
        self,
        u: Tensor,
        before: Tensors,
        after: Tensors,
        grads: Tensors,
        delta: Tensor,
        weights: Tensors,
        vectors: Tensors,
        vector_grads: Tensors,
        scratch: Tensors,
    ) -> None:
        """See :meth:`Recurrence.backward`."""
        (g,), (new, old), (part,) = grads, vectors, scratch
        vector_grads[0].addcmul_(g, u)
        vector_grads[1].addcmul_(g, before[0])
        _aten.tanh_backward.grad_input(torch.mul(g, new, out=part), u, grad_input=u)
        g.mul_(old).addmm_(u, weights[0])
