"""Cells that are linear in their state, and are therefore scanned in parallel over time."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

import torch
from torch import Tensor

from asrnn.cells.base import State
from asrnn.cells.once_a_scan import scanning
from asrnn.cells.parts.fast import FastCell
from asrnn.ops import takes_scan


class ParallelCell(FastCell):
    """A cell with a parallel scan that gives the numbers of its ``step``.

    A subclass that replaces what ``step`` computes without a parallel scan of its own is scanned by the loop; see
    :class:`asrnn.cells.parts.fast.FastCell`. Both scans compute in the parameters' precision, also under autocast:
    transitions near 1, rounded to 8 or 11 bits, would forget at another pace.
    """

    fast_attribute: ClassVar[str] = "scan_in_parallel"
    fast_reads: ClassVar[tuple[str, ...]] = ("scan_in_parallel",)
    usual_backend: ClassVar[str] = "parallel"

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

    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the parallel scan; see :meth:`FastCell.scan_fast`."""
        if not takes_scan("parallel", type(self).__name__):
            return None
        with scanning():
            sequence, final = self.scan_in_parallel(x.transpose(0, 1), state, return_sequence=return_sequence)
            return "parallel", sequence.transpose(0, 1) if return_sequence else self.output(final), final

    def _in_precision(self, x: Tensor) -> tuple[Tensor, AbstractContextManager[None]]:
        """Return the input as the parameters are, and a context in which products are not rounded."""
        device = x.device.type
        if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
            return super()._in_precision(x)
        return x.to(next(self.parameters()).dtype), torch.autocast(device, enabled=False)
