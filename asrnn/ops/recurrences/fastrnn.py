"""Define the recurrence of FastRNN, a weighted sum of a vanilla step and the old state."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten


class FastRNNRecurrence(Recurrence):
    """h_t = a * y_t + c * h_{t-1}, y_t = tanh(M h_{t-1} + u_t), with a weight M ``[H, H]`` and vectors a and c ``[H]``.

    It keeps y_t in place of u_t.
    """

    num_vectors = 2
    compiled = Path(__file__).parent.joinpath("c", "fastrnn.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (h,), (a, c) = step.before, step.vectors
        torch.addmm(step.u, h, step.weights[0].t(), out=step.u).tanh_()
        torch.mul(h, c, out=step.after[0]).addcmul_(step.u, a)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (g,), (a, c), (part,) = step.grads, step.vectors, step.scratch
        step.vector_grads[0].addcmul_(g, step.u)
        step.vector_grads[1].addcmul_(g, step.before[0])
        _aten.tanh_backward.grad_input(torch.mul(g, a, out=part), step.u, grad_input=step.u)
        g.mul_(c).addmm_(step.u, step.weights[0])
