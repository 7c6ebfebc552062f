"""Cells whose scan is a fused recurrence where one can run, and the loop over ``step`` elsewhere."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from asrnn.cells.parts.fast import FastCell
from asrnn.cells.parts.recurrent_cell import State
from asrnn.ops import FusedScan, Operands, Recurrence, runner_for


class FusedCell(FastCell):
    """A cell with a fused recurrence that gives the numbers of its ``step``.

    A subclass that replaces what ``step`` computes without a ``recurrence_class`` of its own is scanned by the loop;
    see :class:`asrnn.cells.parts.fast.FastCell`.
    """

    fast_attribute: ClassVar[str] = "recurrence_class"
    fast_reads: ClassVar[tuple[str, ...]] = ("operands", "recurrence", "from_scan")

    recurrence_class: ClassVar[type[Recurrence]]
    """What ``step`` computes, as a fused recurrence; what it computes by default, where settings change it."""

    @abstractmethod
    def recurrence(self) -> Recurrence | None:
        """Return a ``recurrence_class`` with the cell's constants, or None where its settings have none."""

    @abstractmethod
    def operands(self, x: Tensor, state: State) -> Operands:
        """Return what the recurrence reads: the input, the state and the cell's weights."""

    def from_scan(self, x: Tensor, sequence: Tensor, last: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Return what :meth:`scan` returns: the outputs and the state of the recurrence, if it has no others.

        Args:
            x: the input, ``[B, T, I]``.
            sequence: the outputs of the recurrence at every step, where they were asked for.
            last: its last state.
            return_sequence: return the output of every step, not of the last one only.
        """
        return sequence if return_sequence else self.output(last), last

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fused recurrence; see :meth:`FastCell.scan_fast`."""
        operands, recurrence = self.operands(x, state), self.recurrence()
        runner = runner_for(recurrence, operands)
        if runner is None or recurrence is None:
            return None
        sequence, last = FusedScan(recurrence, runner, return_sequence)(operands)
        return runner.name, *self.from_scan(x, sequence, last, return_sequence=return_sequence)
