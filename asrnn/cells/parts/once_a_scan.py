"""Build a value from a cell's parameters once a scan, although every step reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, Self, TypeVar, overload

import torch

Cell = TypeVar("Cell", contravariant=True)
Value = TypeVar("Value")

# It is a context variable, so that each thread and each scan inside a scan has its own values. It is no attribute of a
# cell, so that a value neither outlives its scan, nor meets a changed parameter, nor is pickled.
_built: ContextVar[dict[tuple[int, int, bool], object] | None] = ContextVar("_built", default=None)


@contextmanager
def scanning() -> Iterator[None]:
    """Enter a context in which each :class:`once_a_scan` value of each cell is built at most once."""
    token = _built.set({})
    try:
        yield
    finally:
        _built.reset(token)


class once_a_scan(Generic[Cell, Value]):  # noqa: N801 - used as a decorator, as functools.cached_property is
    """Turn a method of a cell into an attribute that is built once in a scan, and at each access outside of a scan.

    It keeps ``step(u, state)`` as short as the paper's equation where the recurrent weight is a function of
    the parameters, such as W - W^T - gamma I.
    """

    def __init__(self, build: Callable[[Cell], Value]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, cell: None, owner: type) -> Self: ...
    @overload
    def __get__(self, cell: Cell, owner: type) -> Value: ...
    def __get__(self, cell: Cell | None, owner: type) -> Self | Value:
        if cell is None:
            return self
        built = _built.get()
        if built is None:
            return self.build(cell)
        # The key is not the name, because a subclass may have another value of this name and read super()'s too.
        # A value that was built under no_grad has no graph, so a step that needs a gradient must not use it.
        key = (id(cell), id(self), torch.is_grad_enabled())
        if key not in built:
            built[key] = self.build(cell)
        return built[key]  # type: ignore[return-value]  # the key is that of this descriptor's own values
