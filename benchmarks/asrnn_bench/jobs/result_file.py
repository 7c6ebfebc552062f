"""Read the published result of a job directory, and put a damaged one aside."""

import json
from pathlib import Path
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.jobs.publication import places, published, put_aside
from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import LaterVersionError, read_record


def read_result(folder: Path) -> Record | None:
    """Return the published result of a job directory; None if there is none.

    Raises:
        UsageError: it is damaged, of another job, or of a schema that this version does not read.
        OSError: the file system fails in a way that may pass.
    """
    file = published(folder)
    try:
        return _read(folder, file)
    except FileNotFoundError:
        return None
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"{file} cannot be read: {error.strerror}; mend that, or remove it, and run again") from error
    except LaterVersionError as error:
        raise UsageError(f"{file}: {error}; update asrnn-bench, or name another folder with --output") from error
    except UnreadableError as error:
        raise UsageError(f"{file}: {error}; run again with --retry-failed, which puts it aside") from error


def glance_at_result(folder: Path) -> dict[str, Any] | None:
    """Return the published result as it is written; None if there is none, and empty if it is damaged.

    Unlike :func:`read_result` it checks no digest, which takes most of the time when there are thousands of results.
    """
    for file in places(folder):
        try:
            value = json.loads(read_file(file))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
    return None


def put_aside_if_damaged(folder: Path) -> bool:
    """Put a result aside that is damaged, altered or of another job, and return whether it was.

    A result that cannot be read now, or that a later version wrote, stays.

    Raises:
        OSError: it cannot be renamed.
    """
    try:
        _read(folder, published(folder))
    except LaterVersionError:
        return False
    except UnreadableError:
        put_aside(folder)
        return True
    except OSError:
        return False
    return False


def _read(folder: Path, file: Path) -> Record:
    record = read_record(read_file(file))
    if not folder.name.endswith(record.key[:12]):
        raise UnreadableError("it is the result of another job")
    return record
