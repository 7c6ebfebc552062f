"""What a scan keeps for its backward, in leased buffers."""

from collections.abc import Sequence

from torch import Tensor

from asrnn.ops.buffers import Lease
from asrnn.ops.operands import Operands
from asrnn.ops.recurrence import Recurrence
from asrnn.ops.runner import Runner


class Trace:
    """The buffers of a scan: u of all steps, ``[T, B, S W]`` in S slots, and the states, ``[T + 1, B, W]`` each.

    Without a backward to come there is one stretch of both, which is written over and over. With a runner that can
    replay a stretch there is one stretch of states, and a mark for each, ``[B, W]``: its first state.
    """

    def __init__(self, runner: Runner, recurrence: Recurrence, operands: Operands, *, keep: bool) -> None:
        num_steps, state = operands.x.shape[1], operands.state[0]
        self.length = runner.stretch(state, num_steps)
        self.replay = runner.replay(recurrence, operands.vectors) if keep else None
        self.keep, self.keep_states = keep, keep and self.replay is None
        self.lease = Lease(state.dtype, state.device)
        batch_size, width = state.shape
        self.u = self.lease.take(num_steps if keep else self.length, batch_size, recurrence.num_slots * width)
        rows = (num_steps if self.keep_states else self.length) + 1
        self.states = [self.lease.take(rows, batch_size, width) for _ in operands.state]
        marks = -(-num_steps // self.length) if self.replay else 0
        self.marks = [self.lease.take(marks, batch_size, width) for _ in operands.state]

    def stretch(self, steps: slice) -> tuple[Tensor, list[Tensor]]:
        """Return u of some steps, and the states from before the first of them to after the last."""
        number = steps.stop - steps.start
        first, before = steps.start if self.keep else 0, steps.start if self.keep_states else 0
        return self.u[first : first + number], [part[before : before + number + 1] for part in self.states]

    def begin(self, steps: slice, state: Sequence[Tensor]) -> None:
        """Set the state before a stretch."""
        _, states = self.stretch(steps)
        for part, value in zip(states, state, strict=True):
            part[0].copy_(value)
        if self.replay:
            for mark, value in zip(self.marks, state, strict=True):
                mark[steps.start // self.length].copy_(value)

    def return_to(self, steps: slice) -> tuple[Tensor, list[Tensor]]:
        """Return a stretch as the forward pass left it."""
        u, states = self.stretch(steps)
        if self.replay:
            for part, mark in zip(states, self.marks, strict=True):
                part[0].copy_(mark[steps.start // self.length])
            self.replay(u, states)
        return u, states


def stretches(num_steps: int, length: int) -> list[slice]:
    """Cut a sequence into stretches of a length, the last of which may be shorter."""
    return [slice(start, min(start + length, num_steps)) for start in range(0, num_steps, length)]
