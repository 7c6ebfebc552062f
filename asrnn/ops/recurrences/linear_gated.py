"""The recurrences of minGRU and minLSTM, h_t = h_{t-1} + s_t (g_t - h_{t-1}), whose gates see the input alone."""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.ops.recurrence import Recurrence, Step

_aten = torch.ops.aten
_NEARLY_LINEAR = 80.0  # from here on log(1 + e^x) is x in float64 too, and e^x still a float32


class MinGRURecurrence(Recurrence):
    """h_t = h_{t-1} + s (g - h_{t-1}), s = sigmoid(u_s) and g = u_g, of minGRU; it keeps s and g, in this order."""

    num_inputs = 2
    num_scratch = 3
    products = ()
    compiled = Path(__file__).parent.joinpath("c", "linear_gated.c")

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`."""
        share, candidate = step.u.chunk(2, dim=1)
        share.sigmoid_()
        self._advance(step, share, candidate)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        share, candidate = step.u.chunk(2, dim=1)
        share.copy_(self._go_back(step, share, candidate))

    def _advance(self, step: Step, share: Tensor, candidate: Tensor) -> None:
        """Put g in place of u_g, and make the state after the step."""
        self.squash(candidate, step.scratch[0])
        torch.sub(candidate, step.before[0], out=step.scratch[0])
        torch.addcmul(step.before[0], share, step.scratch[0], out=step.after[0])

    def _go_back(self, step: Step, share: Tensor, candidate: Tensor) -> Tensor:
        """Go back through the state and the candidate, and return the gradient towards log(s / (1 - s))."""
        (h,), (grad,), (through, towards_odds, part) = step.before, step.grads, step.scratch
        torch.mul(share, grad, out=through)
        torch.sub(candidate, h, out=part).mul_(grad)
        _aten.sigmoid_backward.grad_input(part, share, grad_input=towards_odds)
        grad.sub_(through)
        self.go_back(through, candidate, part)
        return towards_odds

    def squash(self, u: Tensor, scratch: Tensor) -> None:
        """Put g(u) in place of u."""

    def go_back(self, grad: Tensor, g: Tensor, scratch: Tensor) -> None:
        """Put the gradient towards u in place of g(u)."""
        g.copy_(grad)


class _Positive:
    """A candidate g(u) = u + 1/2 for u >= 0 and sigmoid(u) below, which is above 0."""

    def squash(self, u: Tensor, scratch: Tensor) -> None:
        """See :meth:`MinGRURecurrence.squash`."""
        torch.clamp(u, min=0, out=scratch)
        u.sub_(scratch).sigmoid_().add_(scratch)

    def go_back(self, grad: Tensor, g: Tensor, scratch: Tensor) -> None:
        """See :meth:`MinGRURecurrence.go_back`: the slope is g (1 - g) up to 1/2, where that is 1/4, and 1 above."""
        torch.gt(g, 0.5, out=scratch).mul_(0.75).mul_(grad)
        _aten.sigmoid_backward.grad_input(grad, g.clamp_(max=0.5), grad_input=g)
        g.add_(scratch)


class MinGRUPositive(_Positive, MinGRURecurrence):
    """:class:`MinGRURecurrence` with a candidate above 0, g(u) = u + 1/2 for u >= 0 and sigmoid(u) below."""

    defines = ("POSITIVE",)


class MinLSTMRecurrence(MinGRURecurrence):
    """h_t = h_{t-1} + s (g - h_{t-1}), s = sigmoid(u_i) / (sigmoid(u_f) + sigmoid(u_i)) and g = u_g, of minLSTM.

    The inputs are u_f, u_i and u_g. It keeps sigmoid(-u_f), sigmoid(-u_i), g and s.
    """

    num_inputs = 3
    num_slots = 4
    defines: ClassVar[tuple[str, ...]] = ("NORMALIZED",)

    def forward(self, step: Step) -> None:
        """See :meth:`Recurrence.forward`; s is found through logarithms, as both gates may underflow."""
        forget, put, candidate, share = step.u.chunk(4, dim=1)
        for gate, minus_log in ((forget.neg_(), step.scratch[0]), (put.neg_(), step.scratch[1])):
            _aten.softplus.out(gate, 1.0, _NEARLY_LINEAR, out=minus_log)
            gate.sigmoid_()
        torch.sub(step.scratch[0], step.scratch[1], out=share).sigmoid_()
        self._advance(step, share, candidate)

    def backward(self, step: Step) -> None:
        """See :meth:`Recurrence.backward`."""
        forget, put, candidate, share = step.u.chunk(4, dim=1)
        towards_odds = self._go_back(step, share, candidate)
        put.mul_(towards_odds)
        forget.mul_(towards_odds.neg_())


class MinLSTMPositive(_Positive, MinLSTMRecurrence):
    """:class:`MinLSTMRecurrence` with a candidate above 0, g(u) = u + 1/2 for u >= 0 and sigmoid(u) below."""

    defines = ("NORMALIZED", "POSITIVE")
