"""Scan a cell by a fused recurrence where one can run, and by the loop over ``step`` elsewhere."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from asrnn.cells.parts.fast import FastCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import FusedScan, Operands, Recurrence, runner_for


class FusedCell(FastCell):
    """A cell with a fused recurrence that gives the numbers of its ``step``.

    A subclass that changes what ``step`` computes must name its own ``recurrence_class``; otherwise the loop scans it.
    See :class:`asrnn.cells.parts.fast.FastCell`.
    """

    fast_attribute: ClassVar[str] = "recurrence_class"
    fast_reads: ClassVar[tuple[str, ...]] = ("operands", "recurrence", "from_scan")

    recurrence_class: ClassVar[type[Recurrence]]
    """The fused recurrence of ``step``; that of the default settings, if settings change it."""

    @abstractmethod
    def recurrence(self) -> Recurrence | None:
        """Return the recurrence with the cell's constants, or None if there is none for the cell's settings."""

    @abstractmethod
    def operands(self, x: Tensor, state: State) -> Operands:
        """Return the operands of the recurrence: the input, the state and the cell's weights."""

    def from_scan(self, x: Tensor, sequence: Tensor, last: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Turn the outputs and the last state of the recurrence into those of the cell; by default they are the same.

        Args:
            x: the input, ``[B, T, I]``.
            sequence: the outputs of the recurrence at every step, if they were asked for.
            last: its last state.
            return_sequence: return the output of every step, not only of the last one.
        """
        return sequence if return_sequence else self.output(last), last

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fused recurrence; see :meth:`asrnn.cells.parts.fast.FastCell.scan_fast`."""
        operands, recurrence = self.operands(x, state), self.recurrence()
        runner = runner_for(recurrence, operands)
        if runner is None or recurrence is None:
            return None
        sequence, last = FusedScan(recurrence, runner, return_sequence)(operands)
        return runner.name, *self.from_scan(x, sequence, last, return_sequence=return_sequence)
