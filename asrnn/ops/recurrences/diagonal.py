"""Define the recurrence of the LRU: linear, with a diagonal complex transition."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Recurrence, Step


class ComplexDiagonal(Recurrence):
    """x_t = lambda * x_{t-1} + u_t, with complex x, u and lambda.

    The state is (Re x, Im x), the inputs are Re u and Im u, the vectors Re lambda and Im lambda, ``[H]`` each. u_t
    stays as it is, because the gradient needs only the states.
    """

    num_states = num_outputs = num_inputs = num_vectors = 2
    products = ()
    compiled = Path(__file__).parent.joinpath("c", "diagonal.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (re, im), (x_re, x_im), (new_re, new_im), (u_re, u_im) = (
            step.vectors,
            step.before,
            step.after,
            step.u.chunk(2, dim=1),
        )
        torch.addcmul(u_re, x_re, re, out=new_re).addcmul_(x_im, im, value=-1)
        torch.addcmul(u_im, x_im, re, out=new_im).addcmul_(x_re, im)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (re, im), (x_re, x_im), (g_re, g_im), (u_re, u_im) = (
            step.vectors,
            step.before,
            step.grads,
            step.u.chunk(2, dim=1),
        )
        step.vector_grads[0].addcmul_(g_re, x_re).addcmul_(g_im, x_im)
        step.vector_grads[1].addcmul_(g_im, x_re).addcmul_(g_re, x_im, value=-1)
        u_re.copy_(g_re)
        u_im.copy_(g_im)
        torch.mul(u_re, re, out=g_re).addcmul_(u_im, im)
        torch.mul(u_im, re, out=g_im).addcmul_(u_re, im, value=-1)
