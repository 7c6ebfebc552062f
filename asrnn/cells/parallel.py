"""Cells that are linear in their state, and are therefore scanned in parallel over time."""

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from asrnn.cells.base import RecurrentCell, State
from asrnn.cells.once_a_scan import scanning
from asrnn.errors import ModelError
from asrnn.ops import back_end_asked


class ParallelCell(RecurrentCell):
    """A cell with a parallel scan that gives the numbers of its ``step``.

    A subclass that changes ``step``, ``project`` or ``output`` without a parallel scan of its own is scanned by the
    loop, as its numbers are no longer those of the parallel scan. Both scans compute in the parameters' precision, also
    under autocast: transitions near 1, rounded to 8 or 11 bits, would forget at another pace.
    """

    @property
    def scan_backend(self) -> str:
        """What runs a scan here and now: ``parallel``, or the ``loop`` within ``asrnn.ops.scan_with("loop")``."""
        if type(self).scan is not ParallelCell.scan:
            return super().scan_backend
        return "parallel" if back_end_asked() != "loop" and self._came_with_step("scan_in_parallel") else "loop"

    @abstractmethod
    def scan_in_parallel(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[Tensor, State]:
        """Run the cell over a sequence.

        Args:
            x: the input, time first, ``[T, B, I]``.
            state: the state before the first step.
            return_sequence: compute the output of every step.

        Returns:
            the output of every step ``[T, B, H]``, anything where they were not asked for, and the state after the
            last step.
        """

    def scan(self, x: Tensor, state: State | None = None, *, return_sequence: bool = False) -> tuple[Tensor, State]:
        """Run the cell over a sequence; see :meth:`RecurrentCell.scan`.

        Raises:
            ModelError: a shape is wrong, or ``asrnn.ops.scan_with`` names another back end than these two.
        """
        asked = back_end_asked()
        there = ("parallel", "loop") if self._came_with_step("scan_in_parallel") else ("loop",)
        if asked not in ("auto", *there):
            raise ModelError(
                f"the scan back end '{asked}' cannot run this scan: {type(self).__name__} has {' and '.join(there)}"
            )
        x, in_full = self._in_full_precision(x)
        with in_full:
            if "loop" in (asked, there[0]):
                return super().scan(x, state, return_sequence=return_sequence)
            state = self._state_for(x, state)
            with scanning():
                sequence, final = self.scan_in_parallel(x.transpose(0, 1), state, return_sequence=return_sequence)
                return sequence.transpose(0, 1) if return_sequence else self.output(final), final

    def _in_full_precision(self, x: Tensor) -> tuple[Tensor, AbstractContextManager[None]]:
        """Return the input as the parameters are, and a context in which products are not rounded."""
        device = x.device.type
        if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
            return x, nullcontext()
        return x.to(next(self.parameters()).dtype), torch.autocast(device, enabled=False)
