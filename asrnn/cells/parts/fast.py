"""Scan a cell by something faster than the loop over ``step``, as long as it gives the numbers of ``step``."""

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from torch import Tensor

from asrnn.cells.parts.recurrent_cell import RecurrentCell, State, left_out_of_graphs
from asrnn.cells.parts.replaced import attributes_of, replaced_attribute
from asrnn.ops import require_loop
from asrnn.shapes import explain_precision_errors


class FastCell(RecurrentCell):
    """A cell with a scan that is faster than the loop and gives the same numbers.

    The class that defines :attr:`fast_attribute` vouches that its fast scan computes the same as ``step``, ``project``
    and ``output``. The loop over ``step`` runs instead if one of these three was replaced since, or anything that they
    read and the fast scan does not. It may have been replaced by a subclass, by a mixin, or by an assignment to the
    class or to the cell. A subclass that has a new fast scan defines the attribute again.
    """

    fast_attribute: ClassVar[str]
    """The name of the attribute that holds the fast scan; the class that defines it vouches for the fast scan."""

    fast_reads: ClassVar[tuple[str, ...]]
    """The attributes of the cell that the fast scan reads; what they read in turn is found in their code."""

    usual_backend: ClassVar[str] = "auto"
    """The value of ``scan_backend`` before the first scan."""

    _defined: ClassVar[dict[str, object]]  # all that the class and its bases defined when it was written
    _ran = ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._defined = attributes_of(cls.__mro__)

    @property
    def scan_backend(self) -> str:
        """The back end of the last scan, or of the next one if there was none, by its name in ``scan_with``."""
        if type(self).scan is not FastCell.scan or "scan" in vars(self):
            return "custom"
        return self._ran or ("loop" if self._replaced() else self.usual_backend)

    def note_scan(self, other: "FastCell") -> None:
        """Note the back end of the last scan of a copy of this cell."""
        self._ran = other._ran

    @abstractmethod
    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fast scan.

        Args:
            x: the input, ``[B, T, I]``.
            state: the state before the first step.
            return_sequence: return the output of every step.

        Returns:
            the name of the back end, and the result of :meth:`scan`; None if only the loop can run this scan.

        Raises:
            ModelError: :func:`asrnn.ops.scan_with` names a back end that cannot run this scan.
        """

    @left_out_of_graphs
    def scan(
        self, x: Tensor, state: State | list[Tensor] | Tensor | None = None, *, return_sequence: bool = False
    ) -> tuple[Tensor, State]:
        """Run the cell over a sequence; see :meth:`asrnn.cells.parts.recurrent_cell.RecurrentCell.scan`.

        Raises:
            ModelError: as there; or :func:`asrnn.ops.scan_with` names a back end that cannot run this scan.
        """
        before = self._state_for(x, state)
        x, precision = self._in_precision(x)
        with precision, explain_precision_errors(x, before[0], type(self).__name__):
            replaced = self._replaced()
            if replaced:
                require_loop(f"{type(self).__name__} replaces {replaced} and brings no {self.fast_attribute}")
            else:
                found = self.scan_fast(x, before, return_sequence=return_sequence)
                if found is not None:
                    self._ran, output, last = found
                    return output, last
            self._ran = "loop"
            return self._loop(x, before, return_sequence)

    def _in_precision(self, x: Tensor) -> tuple[Tensor, AbstractContextManager[None]]:
        """Return the input in the precision of the scan, and the context in which the scan runs."""
        return x, nullcontext()

    def _replaced(self) -> str:
        """Return the name of an attribute that was replaced since the fast scan was written; empty if none was."""
        return self.replaced_since(self.fast_attribute, self.fast_reads)

    def replaced_since(self, attribute: str, reads: tuple[str, ...]) -> str:
        """Return the name of an attribute that was replaced since a class defined a fast scan; empty if none was.

        Args:
            attribute: the attribute that holds the fast scan, as :attr:`fast_attribute` names it.
            reads: the attributes that this scan reads, as :attr:`fast_reads` lists them.
        """
        return replaced_attribute(self, attribute, reads)
