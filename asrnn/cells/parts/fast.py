"""Cells that something faster than the loop over ``step`` scans, for as long as it gives the numbers of ``step``."""

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
    """A cell with a scan that is faster than the loop, and gives the same numbers.

    The fast scan computes what ``step``, ``project`` and ``output`` said when the class was written that brought
    :attr:`fast_attribute`. Where one of these three has been replaced since, or anything that they read and the fast
    scan does not, the loop over ``step`` runs. It does not matter who replaced it: a subclass, a mixin, an assignment
    to the class or one to the cell. A subclass with a fast scan of its own brings the attribute once more.
    """

    fast_attribute: ClassVar[str]
    """The attribute that says what the fast scan computes; a class that brings it vouches for the fast scan."""

    fast_reads: ClassVar[tuple[str, ...]]
    """What the fast scan reads of the cell; what these read in turn is found in their code."""

    usual_backend: ClassVar[str] = "auto"
    """What :attr:`scan_backend` says before the first scan."""

    _written: ClassVar[dict[str, object]]
    _ran = ""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._written = _attributes(cls.__mro__)

    @property
    def scan_backend(self) -> str:
        """What ran the last scan, as :func:`asrnn.ops.scan_with` names it; what will, before there was one."""
        if type(self).scan is not FastCell.scan or "scan" in vars(self):
            return "custom"
        return self._ran or ("loop" if self._replaced() else self.usual_backend)

    def note_scan(self, other: "FastCell") -> None:
        """Take over what ran the last scan of a copy of this cell."""
        self._ran = other._ran

    @abstractmethod
    def scan_fast(self, x: Tensor, state: State, *, return_sequence: bool) -> tuple[str, Tensor, State] | None:
        """Run the fast scan.

        Args:
            x: the input, ``[B, T, I]``.
            state: the state before the first step.
            return_sequence: return the output of every step.

        Returns:
            the name of what ran it, and what :meth:`scan` returns; None where only the loop can run this scan.

        Raises:
            ModelError: :func:`asrnn.ops.scan_with` names something that cannot run this scan.
        """

    @out_of_graphs
    def scan(
        self, x: Tensor, state: State | list[Tensor] | Tensor | None = None, *, return_sequence: bool = False
    ) -> tuple[Tensor, State]:
        """Run the cell over a sequence; see :meth:`RecurrentCell.scan`.

        Raises:
            ModelError: as there; or :func:`asrnn.ops.scan_with` names something that cannot run this scan.
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
        """Return the input as the scans take it, and the context in which they run."""
        return x, nullcontext()

    def _replaced(self) -> str:
        """Name what has been replaced since the fast scan was written; empty where nothing was."""
        return self.replaced_since(self.fast_attribute, self.fast_reads)

    def replaced_since(self, attribute: str, reads: tuple[str, ...]) -> str:
        """Name what has been replaced since a class brought an attribute; empty where nothing was.

        Args:
            attribute: the one that says what a fast scan computes, as :attr:`fast_attribute` does.
            reads: what that scan reads of the cell, as :attr:`fast_reads` says.
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
    """Return what ``step``, ``project`` and ``output`` led to when the fast scan was written, and it does not read."""
    index, author = next((i, base) for i, base in enumerate(cls.__mro__) if attribute in vars(base))
    mro = cls.__mro__[index:]
    # Names only now, because a module may define after its class what the class calls. A plain mixin kept no record.
    names = _reachable(mro, _ROOTS) - (_reachable(mro, reads) - {*_ROOTS})
    written: dict[str, object] = vars(author).get("_written") or _attributes(mro)
    return {name: written.get(name, _ABSENT) for name in sorted(names) if not hasattr(nn.Module, name)}


def _attributes(mro: Sequence[type]) -> dict[str, object]:
    """Return all that the classes of a cell define, by name."""
    return {name: value for base in reversed(mro) for name, value in vars(base).items()}


def _reachable(mro: Sequence[type], roots: Iterable[str]) -> set[str]:
    """Return the names that the code of some attributes mentions, that these mention, and so on."""
    found: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for base in mro:  # not the first one alone, because it may call super()
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
    """Return the functions that an attribute of a class is made of, whatever decorates them."""
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
