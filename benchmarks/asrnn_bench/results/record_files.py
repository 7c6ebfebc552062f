"""Name and read the files of records: one JSON file for each, below the leaderboards folder.

::

    <leaderboards>/records/<suite>-v<version>.<budget>/<task>.<model>.seed-<n>.<key12>.json
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import read_record
from asrnn_bench.results.index import Index, Stamp, stamp_of


def path_of(leaderboards: Path, record: Record) -> Path:
    """Return the path of a record's file."""
    return leaderboards / name_below(record)


def name_below(record: Record) -> str:
    """Return the path of a record's file below the leaderboards folder."""
    job = record.job
    return f"records/{job.suite}-v{job.suite_version}.{job.budget}/{name_of(record)}"


def name_of(record: Record) -> str:
    """Return the name of a record's file."""
    job = record.job
    return f"{job.task.name}.{job.model.name}.seed-{job.seed}.{record.key[:12]}.json"


def read_records(
    leaderboards: Path, *, with_curves: bool = True, index: Index | None = None
) -> tuple[list[Record], list[str]]:
    """Return the records of a leaderboards folder in the order of their names, and a line for each damaged file.

    Args:
        leaderboards: the folder.
        with_curves: whether to keep the curves, which no table needs and which are most of a record.
        index: the index of the folder. Without curves, a record that it knows is not read again.

    Raises:
        OSError: a folder of records cannot be listed.
    """
    records: list[Record] = []
    faults: list[str] = []
    patience = None  # after one wait in vain for the file server, no other file is waited for
    for name, stamp in _files(leaderboards):
        known = index.record(name, stamp) if index is not None and stamp is not None and not with_curves else None
        if known is not None:
            records.append(known)
            continue
        file = leaderboards / name
        try:
            record = read_record(wait_out(partial(read_file, file), patience))
        except OSError as error:
            if is_passing(error):
                patience = 0.0
            faults.append(f"{file} is left out: it cannot be read: {error.strerror}")
            continue
        except UnreadableError as error:
            faults.append(f"{file} is left out: {error}")
            continue
        if name != name_below(record):
            faults.append(f"{file} is left out: its name does not fit its record")
            continue
        record = record if with_curves else without_curve(record)
        records.append(record)
        if index is not None and stamp is not None:
            index.note(name, stamp, record)
    return records, faults


def _files(leaderboards: Path) -> Iterator[tuple[str, Stamp | None]]:
    """Yield the path of each record's file below the folder, in order, and its stamp; ``None`` where that fails."""
    for folder in _listed(leaderboards / "records"):
        for entry in _listed(folder.path):
            if entry.name.endswith(".json"):
                try:
                    stamp = stamp_of(entry.stat())
                except OSError:
                    stamp = None
                yield f"records/{folder.name}/{entry.name}", stamp


def _listed(folder: Path | str) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, sorted by name; none where there is no such folder.

    Raises:
        OSError: the folder cannot be listed. Without a part of the records no leaderboard would be right.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def without_curve(record: Record) -> Record:
    """Return a record without its curve: all that tables need, in a quarter of the memory."""
    return record.model_copy(update={"curve": []}) if record.curve else record
