"""Add records to a leaderboards folder, and write their files."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from asrnn.errors import UsageError
from asrnn_bench.files.canonical import canonical_json
from asrnn_bench.files.disk_errors import is_passing
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.files.writing import replace, sync_file_system
from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import read_record
from asrnn_bench.results.index import Index, Stamp, stamp_of
from asrnn_bench.results.merging import merge
from asrnn_bench.results.record_files import name_below, path_of, read_records, without_curve

AT_A_TIME = 2000
"""The most records with curves in memory; one takes 25 KiB."""


class StoredRecord(NamedTuple):
    """A record, and a file with its text, such as the ``result.json`` of a job."""

    record: Record
    file: Path | None = None


Source = Callable[[Mapping[str, Record]], Iterable[StoredRecord]]
"""A function that yields records. It is given the records of the folder by twelve digits of their keys, and may leave
those out."""


def add_records(leaderboards: Path, new: Iterable[Record] | Source) -> tuple[list[Record], list[str]]:
    """Merge ``new`` records into those of a folder, some at a time, so that not all curves are in memory.

    Args:
        leaderboards: the folder.
        new: the records, or a function that is given the records of the folder and yields new ones.

    Returns:
        the records of the folder after that, without curves, and a line for each file that is not a record.

    Raises:
        OSError: the file system fails with an error that passes by itself.
        UsageError: the folder cannot be written.
    """
    index = Index(leaderboards)
    standing, faults = read_records(leaderboards, with_curves=False, index=index)
    source = new(by_short_key(standing)) if callable(new) else map(StoredRecord, new)
    source = iter(source)
    while batch := list(islice(source, AT_A_TIME)):
        merged = merge(standing, [found.record for found in batch])
        files = {found.record.key: found.file for found in batch if found.file is not None}
        write_records(leaderboards, merged, standing, files=files, index=index)
        standing = [without_curve(record) for record in merged]
    index.save()
    return standing, faults


def by_short_key(records: Iterable[Record]) -> dict[str, Record]:
    """Return records by the first twelve digits of their keys, as in the names of their files."""
    return {record.key[:12]: record for record in records}


def write_records(
    leaderboards: Path,
    records: Iterable[Record],
    standing: Iterable[Record] = (),
    *,
    files: Mapping[str, Path] | None = None,
    index: Index | None = None,
) -> None:
    """Write new records to a leaderboards folder, and remove the files of records that were replaced.

    A file in the place of a record that is damaged or of a later version is renamed to ``NAME.damaged``, as it may
    hold a result. The disk is waited for once, at the end. A file that a power cut damages before that has a wrong
    digest, and is written again by the next publication.

    Args:
        leaderboards: the folder.
        records: the records that the folder holds from now on.
        standing: the records that were read from the folder. Those that are among ``records``, as the same objects, are
            not written again; the files of the others are removed.
        files: for the keys of some records, a file with the record's text, which is copied.
        index: the index of the folder, which notes the files that were written.

    Raises:
        OSError: the file system fails with an error that passes by itself.
        UsageError: the folder cannot be written.
    """
    records, standing = list(records), list(standing)
    kept, read = {record.key for record in records}, {id(record) for record in standing}
    try:
        is_new = False
        for record in records:
            if id(record) in read:
                continue
            copied = _bytes_of(files.get(record.key) if files else None)
            stamp = _write(path_of(leaderboards, record), record, copied)
            is_new = is_new or stamp is not None
            if index is not None and stamp is not None:
                index.note(name_below(record), stamp, without_curve(record if copied else _as_read(record)))
        if is_new:
            sync_file_system(leaderboards)
        for record in standing:
            if record.key not in kept:
                path_of(leaderboards, record).unlink(missing_ok=True)
                if index is not None:
                    index.forget(name_below(record))
    except OSError as error:
        if is_passing(error):
            raise
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error


def _write(path: Path, record: Record, copied: bytes | None) -> Stamp | None:
    """Write a record and return the file's stamp; ``None`` where the file has the record or a better one already.

    Args:
        path: the file.
        record: the record.
        copied: the bytes of another file of the same record; by default the record is written anew.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    stands = os.path.lexists(path)
    if stands and not _may_replace(path, record):
        return None
    # The new file is on the disk before the old one is gone, as the old one may hold a result.
    replace(path, record.text() if copied is None else copied, durable=stands)
    return stamp_of(path.stat())


def _as_read(record: Record) -> Record:
    """Return a record as it would be read from its file, where the keys of all dictionaries are sorted."""
    return Record.model_validate_json(canonical_json(record.model_dump(mode="json")))


def _bytes_of(file: Path | None) -> bytes | None:
    if file is not None:
        with suppress(OSError):  # somebody may have removed it meanwhile
            return read_file(file)
    return None


def _may_replace(path: Path, record: Record) -> bool:
    """Return whether a record may replace the file at ``path``. A file that is not a record of its job is put aside.

    Raises:
        OSError: the file cannot be read just now, so it may be a good record; or it cannot be renamed.
    """
    try:
        there = read_record(read_file(path))
        if there.key == record.key:
            return record.holds_more(there) if there.is_result else there != record
    except UnreadableError:
        pass
    except OSError as error:
        if is_passing(error):
            raise
    number, target = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(target)
    return True
