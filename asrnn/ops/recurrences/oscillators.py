"""Define the recurrences of networks of oscillators with positions y and velocities z. The new z moves y."""

from pathlib import Path

import torch

from asrnn.ops.recurrence import Product, Recurrence, Step

_aten = torch.ops.aten


class CoupledOscillators(Recurrence):
    """z_t = z_{t-1} + dt (f_t - gamma y_{t-1} - epsilon z_{t-1}), y_t = y_{t-1} + dt z_t, of coRNN.

    The force is f_t = tanh(M_y y_{t-1} + M_z z_{t-1} + u_t). The state is (y, z), the weights are M_y and M_z,
    ``[H, H]`` each, the scalars dt, gamma and epsilon. It keeps f_t in place of u_t.
    """

    num_states = 2
    num_scratch = 2
    products = (Product(weight=0, state=0), Product(weight=1, state=1))
    compiled = Path(__file__).parent.joinpath("c", "coupled_oscillators.c")
    first_scalars = (0.3, 1.5, 0.5)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (dt, gamma, epsilon), (y, z), (new_y, new_z) = self.scalars, step.before, step.after
        step.u.addmm_(y, step.weights[0].t()).addmm_(z, step.weights[1].t()).tanh_()
        torch.mul(z, 1 - dt * epsilon, out=new_z).add_(y, alpha=-dt * gamma).add_(step.u, alpha=dt)
        torch.add(y, new_z, alpha=dt, out=new_y)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (dt, gamma, epsilon), (g_y, g_z), (new_z_grad, part) = self.scalars, step.grads, step.scratch
        torch.add(g_z, g_y, alpha=dt, out=new_z_grad)
        _aten.tanh_backward.grad_input(torch.mul(new_z_grad, dt, out=part), step.u, grad_input=step.u)
        g_y.add_(new_z_grad, alpha=-dt * gamma).addmm_(step.u, step.weights[0])
        torch.mul(new_z_grad, 1 - dt * epsilon, out=g_z).addmm_(step.u, step.weights[1])


class IndependentOscillators(Recurrence):
    """z_t = z_{t-1} - tau * (f_t + alpha y_{t-1}), y_t = y_{t-1} + tau * z_t, of UnICORNN.

    The force is f_t = tanh(w * y_{t-1} + u_t). The state is (y, z), the vectors are w and tau, ``[H]`` each, the scalar
    is alpha. It keeps f_t in place of u_t.
    """

    num_states = 2
    num_vectors = 2
    products = ()
    num_scratch = 2
    compiled = Path(__file__).parent.joinpath("c", "independent_oscillators.c")
    first_scalars = (0.7,)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        (alpha,), (w, tau), (y, z), (new_y, new_z) = self.scalars, step.vectors, step.before, step.after
        step.u.addcmul_(y, w).tanh_()
        pull = torch.add(step.u, y, alpha=alpha, out=step.scratch[0])
        torch.addcmul(z, pull, tau, value=-1, out=new_z)
        torch.addcmul(y, new_z, tau, out=new_y)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        (alpha,), (w, tau), (pull, pull_grad) = self.scalars, step.vectors, step.scratch
        y, (g_y, g_z) = step.before[0], step.grads
        torch.add(step.u, y, alpha=alpha, out=pull)
        step.vector_grads[1].addcmul_(g_y, step.after[1])
        g_z.addcmul_(g_y, tau)
        step.vector_grads[1].addcmul_(g_z, pull, value=-1)
        torch.mul(g_z, tau, out=pull_grad).neg_()
        _aten.tanh_backward.grad_input(pull_grad, step.u, grad_input=step.u)
        step.vector_grads[0].addcmul_(step.u, y)
        g_y.add_(pull_grad, alpha=alpha).addcmul_(step.u, w)
