"""Run the command line: ``asrnn-bench --suite long-range``, and a verb for everything else.

Exit status:
    0: all jobs are done.
    1: a job failed, or had no data with ``--strict``; data could not be fetched; a named GPU cannot be used;
       or a checked model breaks the contract.
    2: wrong usage; the message is one line.
    130: interrupted.
    143: ended by another signal.

No module of this package imports torch at its top, because ``--help`` and ``--dry-run`` need none.
"""

import io
import signal
import sys
from types import FrameType
from typing import Any

import typer

from asrnn.errors import AsrnnError, DataError, DeviceError
from asrnn_bench.cli import check, doctor, leaderboard, listing, prepare, run, search, speed, status
from asrnn_bench.cli.app import app
from asrnn_bench.cli.misuse import unknown_flag
from asrnn_bench.files.plain_text import plain
from asrnn_bench.jobs.handover import ENDING_SIGNALS

# Each module adds its verb when it is imported.
VERBS = (run, listing, check, prepare, doctor, status, leaderboard, search, speed)

# The base class of Typer's errors of usage, which Typer does not export.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class _TerminatedError(BaseException):
    """A signal asks the run to end; as an exception it lets the run end its workers in order."""


def main() -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names can hold bytes that are not text, and some terminals cannot show "±".
            stream.reconfigure(errors="backslashreplace")
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: list[str]) -> int:
    """Run the command line on ``arguments``, print a user's mistake in one line, and return the exit status."""
    before = {number: signal.signal(number, _terminate) for number in ENDING_SIGNALS}
    try:
        return int(app(arguments, prog_name="asrnn-bench", standalone_mode=False) or 0)
    except (DataError, DeviceError) as error:
        return _fault(str(error), 1)
    except AsrnnError as error:
        return _fault(str(error), 2)
    except USAGE_ERROR as error:
        return _fault(_in_a_line(error), 2)
    except OSError as error:
        return _fault(f"the operating system refused: {error}", 1)
    except (KeyboardInterrupt, typer.Abort):
        return _fault("interrupted", 130)
    except _TerminatedError as error:
        return _fault(f"ended by {error}; run the same command to go on", 143)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_a_line(error: Any) -> str:
    """Return a line that says what is wrong with a call, and which help to read."""
    if hasattr(error, "possibilities") and error.ctx is not None:
        return unknown_flag(error.option_name, error.ctx)
    parameter: Any = getattr(error, "param", None)
    # Older versions of Typer keep the bound in the parameter's type.
    bounds = (getattr(part, "min", None) for part in (parameter, getattr(parameter, "type", None)))
    least = next((bound for bound in bounds if bound is not None), None)
    if least is not None:
        return f"{parameter.opts[0]} takes a whole number of at least {least}"
    message = str(error.format_message()).removesuffix(".")
    return f"{message}; see {error.ctx.command_path if error.ctx else 'asrnn-bench'} --help"


def _fault(message: str, status: int) -> int:
    sys.stderr.write(f"asrnn-bench: {plain(message)}\n")
    return status


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _TerminatedError(signal.Signals(number).name)
