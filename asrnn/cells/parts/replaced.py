"""Find whether an attribute of a cell was replaced since its fast scan was written.

A fast scan computes what ``step``, ``project`` and ``output`` computed when its class was written. These three depend
on the attributes that their code mentions, on those that the code of these mentions, and so on. An attribute that the
fast scan reads too may be replaced. If another one is replaced, the fast scan no longer computes the same as ``step``.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, partial
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from asrnn.cells.parts.once_a_scan import once_a_scan

_MEANING = ("step", "project", "output")
_ABSENT = object()


def attributes_of(classes: Sequence[type]) -> dict[str, object]:
    """Return all that some classes define, by name; an earlier class comes before a later one."""
    return dict(_attributes(classes))


def replaced_attribute(cell: nn.Module, fast_attribute: str, reads: tuple[str, ...]) -> str:
    """Return the name of an attribute that was replaced since a class defined a fast scan; empty if none was.

    A subclass, a mixin, or an assignment to the class or to the cell may have replaced it.

    Args:
        cell: the cell.
        fast_attribute: the attribute that holds the fast scan; the class that defines it vouches for the scan.
        reads: the attributes that the fast scan reads.
    """
    cell_class: type = type(cell)
    now, on_the_cell = _attributes(cell_class.__mro__), vars(cell)
    if fast_attribute not in now:
        return "step"
    for name, then in _must_stay(cell_class, fast_attribute, reads).items():
        if now.get(name, _ABSENT) is not then or (then is not _ABSENT and name in on_the_cell):
            return name
    return ""


@cache
def _must_stay(cell_class: type, fast_attribute: str, reads: tuple[str, ...]) -> dict[str, object]:
    """Return the attributes that must stay as they are, with their values when the fast scan was written.

    These are the ones on which ``step``, ``project`` and ``output`` depend and which the fast scan does not read.
    """
    classes = cell_class.__mro__
    index, author = next((i, base) for i, base in enumerate(classes) if fast_attribute in vars(base))
    classes = classes[index:]
    # Names are looked for only now, because a module may define after its class what the class calls.
    names = _mentioned(classes, _MEANING) - (_mentioned(classes, reads) - {*_MEANING})
    then: dict[str, object] = vars(author).get("_defined") or attributes_of(classes)  # a plain mixin kept no record
    return {name: then.get(name, _ABSENT) for name in sorted(names) if not hasattr(nn.Module, name)}


def _mentioned(classes: Sequence[type], roots: Iterable[str]) -> set[str]:
    """Return some names of attributes, the names that their code mentions, that the code of these mentions, and so on.

    The code of an attribute includes the functions of its module that it calls.
    """
    found: set[str] = set()
    called: set[FunctionType] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        # Of all classes, not of the first that defines it, because a method may call super().
        functions = [function for base in classes for function in _functions(vars(base).get(name))]
        while functions:
            function = functions.pop()
            for word in _words(function.__code__):
                waiting.append(word)
                other = function.__globals__.get(word)
                if isinstance(other, FunctionType) and other.__module__ == function.__module__ and other not in called:
                    called.add(other)
                    functions.append(other)
    return found


def _words(code: CodeType) -> Iterator[str]:
    """Yield the names of globals and attributes in some code, and in the functions that are defined within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _words(constant)


def _functions(value: object) -> list[FunctionType]:
    """Return the functions that an attribute of a class is made of, whatever decorates them."""
    match value:
        case FunctionType():
            return [value, *_functions(getattr(value, "__wrapped__", None))]
        case property():
            return _functions(value.fget)
        case once_a_scan():
            return _functions(value.build)
        case cached_property() | partial():
            return _functions(value.func)
        case staticmethod() | classmethod():
            return _functions(value.__func__)
    return []


def _attributes(classes: Sequence[type]) -> ChainMap[str, object]:
    maps: list[Any] = [vars(base) for base in classes]  # read-only, which ChainMap does not promise
    return ChainMap(*maps)
