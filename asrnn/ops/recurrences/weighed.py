"""The recurrence of FastRNN: what is new and what was there, each weighed."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten


class FastRNNRecurrence(Recurrence):
    """h_t = a * y_t + c * h_{t-1}, y_t = tanh(M h_{t-1} + u_t), with the vectors a and c; it keeps y_t."""

    num_vectors = 2
    compiled = Path(__file__).parent.joinpath("c", "weighed.c")

    def forward(self, at: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        (h,), (new, old) = at.before, at.vectors
        torch.addmm(at.u, h, at.weights[0].t(), out=at.u).tanh_()
        torch.mul(h, old, out=at.after[0]).addcmul_(at.u, new)

    def backward(self, at: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        (g,), (new, old), (part,) = at.grads, at.vectors, at.scratch
        at.vector_grads[0].addcmul_(g, at.u)
        at.vector_grads[1].addcmul_(g, at.before[0])
        _aten.tanh_backward.grad_input(torch.mul(g, new, out=part), at.u, grad_input=at.u)
        g.mul_(old).addmm_(at.u, at.weights[0])
