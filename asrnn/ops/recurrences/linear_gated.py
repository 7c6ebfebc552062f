"""Define the recurrences of minGRU and minLSTM, h_t = h_{t-1} + s_t (g_t - h_{t-1}), whose gates see only the input."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten
_NEARLY_LINEAR = 80.0  # from here on log(1 + e^x) equals x in float64 too, and e^x is still a float32


class MinGRURecurrence(Recurrence):
    """h_t = h_{t-1} + s (g - h_{t-1}), s = sigmoid(u_s), g = u_g, of minGRU.

    The inputs are u_s and u_g. It keeps the update gate s and the candidate g in their place.
    """

    num_inputs = 2
    num_scratch = 3
    products = ()
    compiled = Path(__file__).parent.joinpath("c", "linear_gated.c")

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`."""
        update, candidate = step.u.chunk(2, dim=1)
        update.sigmoid_()
        self._update_state(step, update, candidate)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        update, candidate = step.u.chunk(2, dim=1)
        update.copy_(self._state_grads(step, update, candidate))

    def _update_state(self, step: Step, update: Tensor, candidate: Tensor) -> None:
        """Replace u_g by g, and compute the state after the step."""
        self.activate(candidate, step.scratch[0])
        torch.sub(candidate, step.before[0], out=step.scratch[0])
        torch.addcmul(step.before[0], update, step.scratch[0], out=step.after[0])

    def _state_grads(self, step: Step, update: Tensor, candidate: Tensor) -> Tensor:
        """Compute the gradients of the state and of u_g, and return the gradient of logit(s) = log(s / (1 - s))."""
        (h,), (grad,), (candidate_grad, logit_grad, part) = step.before, step.grads, step.scratch
        torch.mul(update, grad, out=candidate_grad)
        torch.sub(candidate, h, out=part).mul_(grad)
        _aten.sigmoid_backward.grad_input(part, update, grad_input=logit_grad)
        grad.sub_(candidate_grad)
        self.activation_grad(candidate_grad, candidate, part)
        return logit_grad

    def activate(self, u: Tensor, scratch: Tensor) -> None:
        """Replace u by g(u); here g is the identity."""

    def activation_grad(self, grad: Tensor, g: Tensor, scratch: Tensor) -> None:
        """Replace g(u) by the gradient of u, given the gradient of g(u)."""
        g.copy_(grad)


class _PositiveCandidate:
    """The candidate g(u) = u + 1/2 for u >= 0 and g(u) = sigmoid(u) for u < 0, which is positive."""

    def activate(self, u: Tensor, scratch: Tensor) -> None:
        """Replace u by g(u)."""
        torch.clamp(u, min=0, out=scratch)
        u.sub_(scratch).sigmoid_().add_(scratch)

    def activation_grad(self, grad: Tensor, g: Tensor, scratch: Tensor) -> None:
        """Replace g(u) by the gradient of u; dg/du is g (1 - g) for g <= 1/2, and 1 above."""
        # With g clamped to 1/2, g (1 - g) is 1/4; 3/4 more makes 1.
        torch.gt(g, 0.5, out=scratch).mul_(0.75).mul_(grad)
        _aten.sigmoid_backward.grad_input(grad, g.clamp_(max=0.5), grad_input=g)
        g.add_(scratch)


class MinGRUPositive(_PositiveCandidate, MinGRURecurrence):
    """:class:`MinGRURecurrence` with a positive candidate: g = u_g + 1/2 for u_g >= 0, else sigmoid(u_g)."""

    defines = ("POSITIVE",)


class MinLSTMRecurrence(MinGRURecurrence):
    """h_t = h_{t-1} + s (g - h_{t-1}), s = sigmoid(u_i) / (sigmoid(u_f) + sigmoid(u_i)), g = u_g, of minLSTM.

    The inputs are u_f, u_i and u_g. It keeps sigmoid(-u_f), sigmoid(-u_i), g and s.
    """

    num_inputs = 3
    num_slots = 4
    defines: ClassVar[tuple[str, ...]] = ("NORMALIZED",)

    def forward(self, step: Step) -> None:
        """Take one step forward; see :meth:`Recurrence.forward`.

        Logarithms give s, because both gates may underflow.
        """
        forget, admit, candidate, update = step.u.chunk(4, dim=1)
        for gate, minus_log in ((forget.neg_(), step.scratch[0]), (admit.neg_(), step.scratch[1])):
            _aten.softplus.out(gate, 1.0, _NEARLY_LINEAR, out=minus_log)
            gate.sigmoid_()
        torch.sub(step.scratch[0], step.scratch[1], out=update).sigmoid_()
        self._update_state(step, update, candidate)

    def backward(self, step: Step) -> None:
        """Take one step backward; see :meth:`Recurrence.backward`."""
        forget, admit, candidate, update = step.u.chunk(4, dim=1)
        logit_grad = self._state_grads(step, update, candidate)
        admit.mul_(logit_grad)
        forget.mul_(logit_grad.neg_())


class MinLSTMPositive(_PositiveCandidate, MinLSTMRecurrence):
    """:class:`MinLSTMRecurrence` with a positive candidate: g = u_g + 1/2 for u_g >= 0, else sigmoid(u_g)."""

    defines = ("NORMALIZED", "POSITIVE")
