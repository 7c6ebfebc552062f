"""Read, merge and write the records that leaderboards are made of: one JSON file each, below the leaderboards folder.

::

    <leaderboards>/records/<suite>-v<version>.<budget>/<task>.<model>.seed-<n>.<key12>.json
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from asrnn.errors import UsageError
from asrnn_bench.files.canonical import canonical_json, digest
from asrnn_bench.files.disk_errors import is_passing, wait_out
from asrnn_bench.files.reading import UnreadableError, read_file
from asrnn_bench.files.writing import replace, sync_file_system
from asrnn_bench.records.record import Record
from asrnn_bench.records.texts import read_record
from asrnn_bench.results.index import Index, Stamp, stamp_of

AT_A_TIME = 2000
"""Records with their curves in memory; one takes 25 KiB."""


class StoredRecord(NamedTuple):
    """A record, and the file that holds it elsewhere, such as a job's ``result.json``: its bytes are the record's."""

    record: Record
    file: Path | None = None


Source = Callable[[Mapping[str, Record]], Iterable[StoredRecord]]
"""What yields records, and may leave out those that stand already; these it is given by twelve digits of their keys."""


def read_records(
    leaderboards: Path, *, with_curves: bool = True, index: Index | None = None
) -> tuple[list[Record], list[str]]:
    """Return the records of a leaderboards folder, and a line for each file that is not one.

    The order is that of the files' names. A damaged file is never a reason to lose the others.

    Args:
        leaderboards: the folder.
        with_curves: whether to keep the curves, which no table needs and which are most of a record.
        index: what is known of them, without their curves; it is told what was read.

    Raises:
        OSError: a folder of records cannot be listed.
    """
    records: list[Record] = []
    faults: list[str] = []
    patience = None  # a file server that was waited for in vain is not waited for at each file
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
            faults.append(f"{file} is left out: its name is not that of its record")
            continue
        record = record if with_curves else without_curve(record)
        records.append(record)
        if index is not None and stamp is not None:
            index.note(name, stamp, record)
    return records, faults


def _files(leaderboards: Path) -> Iterator[tuple[str, Stamp | None]]:
    """Yield the path of each file of a record below the folder, in order, with its stamp where it can be looked at."""
    for folder in _listed(leaderboards / "records"):
        for entry in _listed(folder.path):
            if entry.name.endswith(".json"):
                try:
                    stamp = stamp_of(entry.stat())
                except OSError:
                    stamp = None
                yield f"records/{folder.name}/{entry.name}", stamp


def _listed(folder: Path | str) -> list["os.DirEntry[str]"]:
    """Return what a folder holds, by name; nothing where there is no such folder.

    Raises:
        OSError: it cannot be listed; without a part of the records no leaderboard is right.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def merge(standing: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Return the records that stand after ``new`` ones came to ``standing`` ones, in the order of their names.

    A result that stands is replaced only by one of the same job that holds more (:meth:`Record.holds_more`). A record
    without a result gives way to a newer one that differs from it in nothing but the code of its model: what failed
    was mended.
    """
    records = {record.key: record for record in standing}
    lost: dict[str, list[str]] = {}  # the keys of those without a result, by all but the code of their models
    for record in records.values():
        if not record.is_result:
            lost.setdefault(_all_but_code(record), []).append(record.key)
    for record in new:
        known = records.get(record.key)
        if known is not None and known.is_result:
            if record.holds_more(known):
                records[record.key] = record
            continue
        if lost or not record.is_result:
            same = _all_but_code(record)
            for key in lost.pop(same, []):
                del records[key]
            if not record.is_result:
                lost[same] = [record.key]
        records[record.key] = known if known == record else record
    return sorted(records.values(), key=name_of)


def write_records(
    leaderboards: Path,
    records: Iterable[Record],
    standing: Iterable[Record] = (),
    *,
    files: Mapping[str, Path] | None = None,
    index: Index | None = None,
) -> None:
    """Write ``records`` below ``leaderboards``, touching none that is so already, and remove superseded ones.

    What stands in a record's place and is not that record, damaged or of a later version, is put aside as
    ``NAME.damaged``: it may hold a result. There is one wait for the disk: what a power cut damages before it is seen
    by its digest and written again, from where it came.

    Args:
        leaderboards: the folder.
        records: what stands from now on.
        standing: what was read from the folder: those of it that are among ``records``, as the same objects, stand
            already, and the files of the others are removed.
        files: for some keys, the file that holds the record elsewhere, whose bytes are copied.
        index: what is told which files were written.

    Raises:
        OSError: the file system fails in a way that passes.
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


def add_records(leaderboards: Path, new: Iterable[Record] | Source) -> tuple[list[Record], list[str]]:
    """Merge ``new`` records into those of a folder, a few at a time, so that not all need be in memory.

    Args:
        leaderboards: the folder.
        new: the records, or what yields them when it is told which stand already.

    Returns:
        what stands then, without curves, and a line for each file that is no record.

    Raises:
        OSError: the file system fails in a way that passes.
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
    """Return records by twelve digits of their keys, as in the names of files."""
    return {record.key[:12]: record for record in records}


def without_curve(record: Record) -> Record:
    """Return a record without its curve: all that tables need, in a quarter of the memory."""
    return record.model_copy(update={"curve": []}) if record.curve else record


def path_of(leaderboards: Path, record: Record) -> Path:
    """Return the file of a record."""
    return leaderboards / name_below(record)


def name_below(record: Record) -> str:
    """Return the path of a record's file below the leaderboards folder."""
    job = record.job
    return f"records/{job.suite}-v{job.suite_version}.{job.budget}/{name_of(record)}"


def name_of(record: Record) -> str:
    """Return the name of a record's file."""
    job = record.job
    return f"{job.task.name}.{job.model.name}.seed-{job.seed}.{record.key[:12]}.json"


def _write(path: Path, record: Record, copied: bytes | None) -> Stamp | None:
    """Write a record and return the file's stamp; ``None`` where it or a result of its job that holds no less stands.

    Args:
        path: where.
        record: the record.
        copied: what the file is to hold that says the same; by default the record is written anew.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    stands = os.path.lexists(path)
    if stands and not _makes_way(path, record):
        return None
    # What takes a result's place is on the disk before that is gone.
    replace(path, record.text() if copied is None else copied, durable=stands)
    return stamp_of(path.stat())


def _as_read(record: Record) -> Record:
    """Return a record as it is read from its file, where all names are in order."""
    return Record.model_validate_json(canonical_json(record.model_dump(mode="json")))


def _bytes_of(file: Path | None) -> bytes | None:
    if file is not None:
        with suppress(OSError):  # somebody may have removed it meanwhile
            return read_file(file)
    return None


def _makes_way(path: Path, record: Record) -> bool:
    """Return whether what stands at ``path`` gives way to a record; what is no record of its job is put aside.

    Raises:
        OSError: it cannot be read just now, so that it may be a good record; or it cannot be put aside.
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


def _all_but_code(record: Record) -> str:
    return digest(record.job.model_dump(mode="json", exclude={"settings": True, "model": {"code", "target"}}))
