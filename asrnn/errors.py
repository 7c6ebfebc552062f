"""Define the errors that a user can act on; each message says in one line what is wrong and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class AsrnnError(Exception):
    """An error that the reader of the message can correct; it is shown as one line, without a traceback."""


class UsageError(AsrnnError):
    """A request is written in a way that cannot be done."""


class ModelError(AsrnnError):
    """A model cannot be found, imported or built, or breaks the contract of shapes."""


class DeviceError(AsrnnError):
    """A GPU that was requested cannot be used; the message says which GPUs torch sees."""


class DataError(AsrnnError):
    """Data cannot be used."""


class MissingDataError(DataError):
    """A data set is not on this machine; the message says which file to put where."""


class DamagedDataError(DataError):
    """A file differs from the published one; the message names it with the expected and the actual digest."""


class UnknownNameError(UsageError):
    """A name is unknown; the message offers the nearest one and lists all of them.

    Args:
        kind: the kind of thing that was asked for, for the message, such as ``"task"``.
        name: the name that was asked for.
        known: the known names.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        near = get_close_matches(name, self.known, n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ";"
        super().__init__(f"unknown {kind} '{name}'{hint} there is: {', '.join(self.known) or 'nothing'}")
