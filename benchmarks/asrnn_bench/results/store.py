"""The records that leaderboards are made of: one JSON file each, below the leaderboards folder.

::

    <leaderboards>/records/<suite>-v<version>.<budget>/<task>.<model>.seed-<n>.<key12>.json
"""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.atomic import holds, replace, sync_file_system
from asrnn_bench.reading import UnreadableError, read_file
from asrnn_bench.records import Record, read_record
from asrnn_bench.written import digest

Source = Callable[[frozenset[str]], Iterable[Record]]
"""What yields records, and may leave out those whose results stand already, by twelve digits of their keys."""

AT_A_TIME = 2000
"""Records with their curves in memory; one takes 25 KiB."""


def read_records(leaderboards: Path, *, with_curves: bool = True) -> tuple[list[Record], list[str]]:
    """Return the records of a leaderboards folder, and a line for each file that is not one.

    The order is that of the files' names. A damaged file is never a reason to lose the others.

    Args:
        leaderboards: the folder.
        with_curves: whether to keep the curves, which no table needs and which are most of a record.
    """
    records: list[Record] = []
    faults: list[str] = []
    for file in sorted(leaderboards.glob("records/*/*.json")):
        try:
            record = read_record(read_file(file))
        except OSError as error:
            faults.append(f"{file} is left out: it cannot be read: {error.strerror}")
            continue
        except UnreadableError as error:
            faults.append(f"{file} is left out: {error}")
            continue
        if file != path_of(leaderboards, record):
            faults.append(f"{file} is left out: its name is not that of its record")
            continue
        records.append(record if with_curves else without_curve(record))
    return records, faults


def merge(standing: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Return the records that stand after ``new`` ones came to ``standing`` ones, in the order of their names.

    A result that stands is never replaced. A record without a result gives way to a newer one that differs from it
    in nothing but the code of its model: what failed was mended.
    """
    records = {record.key: record for record in standing}
    lost: dict[str, list[str]] = {}  # the keys of those without a result, by all but the code of their models
    for record in records.values():
        if not has_result(record):
            lost.setdefault(_all_but_code(record), []).append(record.key)
    for record in new:
        known = records.get(record.key)
        if known is not None and has_result(known):
            continue
        if lost or not has_result(record):
            same = _all_but_code(record)
            for key in lost.pop(same, []):
                del records[key]
            if not has_result(record):
                lost[same] = [record.key]
        records[record.key] = known if known == record else record
    return sorted(records.values(), key=name_of)


def has_result(record: Record) -> bool:
    """Return whether the job came to a result; that it diverged is one."""
    return record.status in ("done", "diverged")


def write_records(leaderboards: Path, records: Iterable[Record], standing: Iterable[Record] = ()) -> None:
    """Write ``records`` below ``leaderboards``, touching none that is so already, and remove superseded ones.

    What stands in a record's place and is not that record, damaged or of a later version, is put aside as
    ``NAME.damaged``: it may hold a result. There is one wait for the disk: what a power cut damages before it is seen
    by its digest and written again, from where it came.

    Args:
        leaderboards: the folder.
        records: what stands from now on.
        standing: what was read from the folder: those of it that are among ``records``, as the same objects, stand
            already, and the files of the others are removed.

    Raises:
        UsageError: the folder cannot be written.
    """
    records, standing = list(records), list(standing)
    kept, read = {record.key for record in records}, {id(record) for record in standing}
    try:
        written = [_write(path_of(leaderboards, record), record) for record in records if id(record) not in read]
        if any(written):
            sync_file_system(leaderboards)
        for record in standing:
            if record.key not in kept:
                path_of(leaderboards, record).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error


def add_records(leaderboards: Path, new: Iterable[Record] | Source) -> tuple[list[Record], list[str]]:
    """Merge ``new`` records into those of a folder, a few at a time, so that not all need be in memory.

    Args:
        leaderboards: the folder.
        new: the records, or what yields them when it is told which results stand already.

    Returns:
        what stands then, without curves, and a line for each file that is no record.

    Raises:
        UsageError: the folder cannot be written.
    """
    standing, faults = read_records(leaderboards, with_curves=False)
    source = iter(new(standing_results(standing)) if callable(new) else new)
    while batch := list(islice(source, AT_A_TIME)):
        merged = merge(standing, batch)
        write_records(leaderboards, merged, standing)
        standing = [without_curve(record) for record in merged]
    return standing, faults


def standing_results(records: Iterable[Record]) -> frozenset[str]:
    """Return what marks the results among ``records``: twelve digits of their keys, as in the names of files."""
    return frozenset(record.key[:12] for record in records if has_result(record))


def without_curve(record: Record) -> Record:
    """Return a record without its curve: all that tables need, in a quarter of the memory."""
    return record.model_copy(update={"curve": []}) if record.curve else record


def path_of(leaderboards: Path, record: Record) -> Path:
    """Return the file of a record."""
    job = record.job
    return leaderboards / "records" / f"{job.suite}-v{job.suite_version}.{job.budget}" / name_of(record)


def name_of(record: Record) -> str:
    """Return the name of a record's file."""
    job = record.job
    return f"{job.task.name}.{job.model.name}.seed-{job.seed}.{record.key[:12]}.json"


def _write(path: Path, record: Record) -> bool:
    """Write a record unless it stands already, and return whether it was written."""
    text = record.text()
    if holds(path, text):
        return False
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    _put_aside(path, record)
    replace(path, text, durable=False)
    return True


def _put_aside(path: Path, record: Record) -> None:
    """Rename whatever stands at ``path`` unless it is an earlier record of the same job."""
    try:
        if not os.path.lexists(path) or read_record(read_file(path)).key == record.key:
            return
    except (OSError, UnreadableError):
        pass
    number, target = 1, path.with_name(f"{path.name}.damaged")
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.name}.damaged-{number}")
    path.rename(target)


def _all_but_code(record: Record) -> str:
    return digest(record.job.model_dump(mode="json", exclude={"settings": True, "model": {"code", "target"}}))
