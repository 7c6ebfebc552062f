"""Cells whose scan is a fused recurrence where one can run, and the loop over ``step`` elsewhere."""

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from asrnn.cells.base import RecurrentCell, State
from asrnn.ops import FusedScan, Operands, Recurrence, runner_for


class FusedCell(RecurrentCell):
    """A cell with a fused recurrence that gives the numbers of its ``step``.

    A subclass that changes ``step``, ``project`` or ``output`` without a recurrence of its own is scanned by the
    loop, as its numbers are no longer the recurrence's.
    """

    recurrence_class: ClassVar[type[Recurrence]]
    """What ``step`` computes, as a fused recurrence; what it computes by default, where settings change it."""

    _backend = "auto"

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls._came_with_step("recurrence_class"):
            cls.scan = RecurrentCell.scan  # type: ignore[method-assign]

    @property
    def scan_backend(self) -> str:
        """What ran the last scan, as :func:`asrnn.ops.scan_with` names it; ``auto`` before there was one."""
        return self._backend if type(self).scan is FusedCell.scan else super().scan_backend

    @abstractmethod
    def recurrence(self) -> Recurrence | None:
        """Return a ``recurrence_class`` with the cell's constants, or None where its settings have none."""

    @abstractmethod
    def operands(self, x: Tensor, state: State) -> Operands:
        """Return what the recurrence reads: the input, the state and the cell's weights."""

    def scan(self, x: Tensor, state: State | None = None, *, return_sequence: bool = False) -> tuple[Tensor, State]:
        """Run the cell over a sequence; see :meth:`RecurrentCell.scan`."""
        state = self._state_for(x, state)
        operands, recurrence = self.operands(x, state), self.recurrence()
        runner = runner_for(recurrence, operands)
        self._backend = "loop" if runner is None else runner.name
        if runner is None or recurrence is None:
            return super().scan(x, state, return_sequence=return_sequence)
        sequence, last = FusedScan(recurrence, runner, return_sequence)(operands)
        return sequence if return_sequence else self.output(last), last
