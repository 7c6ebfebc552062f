"""The command line: ``asrnn-bench --suite long-range``, and a verb for everything else.

Exit status: 0 all jobs done, 1 a job failed (or had no data, with ``--strict``), 2 wrong usage in one line, 130
interrupted. Nothing in this package imports torch.
"""

import signal
import sys
from types import FrameType

import typer

from asrnn.errors import AsrnnError
from asrnn_bench.cli.app import app

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer's own base of wrong usage, which it does not export."""


class _TerminatedError(BaseException):
    """SIGTERM came; raised where the program is, so that it ends its workers in order."""


def main() -> None:
    """Run the command line and exit."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run the command line on ``arguments`` and return the exit status; a user's mistake is one line."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(arguments, prog_name="asrnn-bench", standalone_mode=False)
        return int(status or 0)
    except AsrnnError as error:
        return _fault(str(error))
    except USAGE_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        return _fault(" ".join(str(message).split()))
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except _TerminatedError:
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)


def _fault(message: str) -> int:
    sys.stderr.write(f"asrnn-bench: {message}\n")
    return 2


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _TerminatedError
