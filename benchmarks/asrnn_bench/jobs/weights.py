"""Write and read the selected weights of a job."""

from hashlib import sha256
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.reading import read_file
from asrnn_bench.files.writing import replace
from asrnn_bench.jobs.attempts import Attempt
from asrnn_bench.records.record import Record, Weights

NAME = "weights.safetensors"

LARGEST_WEIGHTS = 1 << 40
"""Bytes."""


def write_weights(attempt: Attempt, content: bytes) -> Weights:
    """Write the selected weights of an attempt, and return their path and digest for the record.

    Raises:
        OSError: they cannot be written.
    """
    replace(attempt.path / NAME, content)
    return Weights(file=f"attempts/{attempt.path.name}/{NAME}", sha256=sha256(content).hexdigest())


def read_weights(folder: Path, record: Record) -> bytes:
    """Return the content of the weights file that a record names, after a check of its digest.

    Args:
        folder: the job directory.
        record: the record of its result.

    Raises:
        UsageError: the record names no weights, or they are missing or not those that were tested.
        OSError: the file system fails in a way that may pass.
    """
    if record.weights is None:
        raise UsageError(f"{folder}: its record names no weights; it is diverged, or of an older version")
    file = folder / record.weights.file
    try:
        content = read_file(file, LARGEST_WEIGHTS)
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    found = sha256(content).hexdigest()
    if found != record.weights.sha256:
        raise UsageError(f"{file} is damaged: its sha256 is {found[:12]}, not {record.weights.sha256[:12]}")
    return content
