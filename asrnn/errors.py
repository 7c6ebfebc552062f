"""Errors that a user can act on: one line that says what is wrong and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class AsrnnError(Exception):
    """A mistake or a lack that the reader of the message can mend; shown as one line, never as a traceback."""


class UsageError(AsrnnError):
    """Something that was asked for cannot be done as it was written."""


class ModelError(AsrnnError):
    """A model cannot be found, imported or built, or breaks the contract of shapes."""


class DeviceError(AsrnnError):
    """A GPU that was named or promised cannot be computed on; the message says what torch sees."""


class DataError(AsrnnError):
    """Data cannot be used."""


class MissingDataError(DataError):
    """A data set is not on this machine; the message says what to put where."""


class DamagedDataError(DataError):
    """A file is not the published one; the message names it with the expected and the found digest."""


class UnknownNameError(UsageError):
    """A name that nothing carries; the message offers the nearest one and lists what there is.

    Args:
        kind: what was looked for, as the message calls it (``"task"``).
        name: what was asked for.
        known: the names there are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        near = get_close_matches(name, self.known, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ";"
        super().__init__(f"unknown {kind} '{name}'{hint} there is: {', '.join(self.known) or 'nothing'}")
