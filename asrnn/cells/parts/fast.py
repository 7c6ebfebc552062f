"""Scan a cell by something faster than the loop over ``step``, as long as it gives the numbers of ``step``."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property, partial
from types import CodeType, FunctionType
from typing import Any, ClassVar

from torch import Tensor, nn

from asrnn.cells.parts.once_a_scan import once_a_scan
from asrnn.cells.parts.recurrent_cell import RecurrentCell, State, out_of_graphs
from asrnn.ops import require_loop
from asrnn.shapes import precision_named

_ROOTS = ("step", "project", "output")
_ABSENT = object()


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

    _written: ClassVar[dict[str, object]]
    _ran = ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._written = _attributes(cls.__mro__)

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

    @out_of_graphs
    def scan(
        self, x: Tensor, state: State | list[Tensor] | Tensor | None = None, *, return_sequence: bool = False
    ) -> tuple[Tensor, State]:
        """Run the cell over a sequence; see :meth:`asrnn.cells.parts.recurrent_cell.RecurrentCell.scan`.

        Raises:
            ModelError: as there; or :func:`asrnn.ops.scan_with` names a back end that cannot run this scan.
        """
        before = self._state_for(x, state)
        x, precision = self._in_precision(x)
        with precision, precision_named(x, before[0], type(self).__name__):
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
        mro = type(self).__mro__
        if not any(attribute in vars(base) for base in mro):
            return "step"
        own = vars(self)
        for name, meant in _promise(type(self), attribute, reads).items():
            if _lookup(mro, name) is not meant or (meant is not _ABSENT and name in own):
                return name
        return ""


@cache
def _promise(cls: type[FastCell], attribute: str, reads: tuple[str, ...]) -> dict[str, object]:
    """Return the attributes that ``step``, ``project`` and ``output`` used when the fast scan was written, by name.

    Those that the fast scan reads itself are left out: a change of them changes both scans alike.
    """
    index, author = next((i, base) for i, base in enumerate(cls.__mro__) if attribute in vars(base))
    mro = cls.__mro__[index:]
    # Names are resolved only now: a module may define after its class what it calls. A plain mixin has no record.
    names = _reachable(mro, _ROOTS) - (_reachable(mro, reads) - {*_ROOTS})
    written: dict[str, object] = vars(author).get("_written") or _attributes(mro)
    return {name: written.get(name, _ABSENT) for name in sorted(names) if not hasattr(nn.Module, name)}


def _attributes(mro: Sequence[type]) -> dict[str, object]:
    """Return all attributes that the classes of a cell define, by name."""
    return {name: value for base in reversed(mro) for name, value in vars(base).items()}


def _reachable(mro: Sequence[type], roots: Iterable[str]) -> set[str]:
    """Return the names that the code of some attributes uses, directly or through other attributes."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for base in mro:  # all of them, because the first one may call super()
            for function in _functions(vars(base).get(name)):
                todo += _mentioned(function)
    return found


def _mentioned(function: FunctionType) -> Iterator[str]:
    """Yield the names in a function's code, in what it defines, and in the functions of its module that it calls."""
    functions, seen = [function], {function}
    while functions:
        called = functions.pop()
        codes = [called.__code__]
        while codes:
            code = codes.pop()
            codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
            yield from code.co_names
            for name in code.co_names:
                other = called.__globals__.get(name)
                if isinstance(other, FunctionType) and other.__module__ == called.__module__ and other not in seen:
                    seen.add(other)
                    functions.append(other)


def _functions(value: object) -> list[FunctionType]:
    """Return the functions behind an attribute of a class, without their decorators."""
    match value:
        case FunctionType():
            wrapped = getattr(value, "__wrapped__", None)
            return [value, *_functions(wrapped)]
        case property():
            return _functions(value.fget)
        case once_a_scan():
            return _functions(value.build)
        case cached_property() | partial():
            return _functions(value.func)
        case staticmethod() | classmethod():
            return _functions(value.__func__)
    return []


def _lookup(mro: Sequence[type], name: str) -> object:
    return next((vars(base)[name] for base in mro if name in vars(base)), _ABSENT)
