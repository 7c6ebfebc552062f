"""The records that leaderboards are made of: one JSON file each, below the leaderboards folder.

::

    <leaderboards>/records/<suite>-v<version>.<budget>/<task>.<model>.seed-<n>.<key12>.json
"""

from collections.abc import Iterable
from pathlib import Path

from asrnn.errors import UsageError
from asrnn_bench.atomic import replace
from asrnn_bench.records import Record, digest, read_record


def read_records(leaderboards: Path) -> tuple[list[Record], list[str]]:
    """Return the records of a leaderboards folder, and a line for each file that is not one.

    The order is that of the files' names. A damaged file is never a reason to lose the others.
    """
    records: list[Record] = []
    faults: list[str] = []
    for file in sorted(leaderboards.glob("records/*/*.json")):
        try:
            record = read_record(file.read_bytes())
        except (OSError, ValueError) as error:
            why = str(error) if type(error) is ValueError else "it is damaged"
            faults.append(f"{file} is left out: {why}")
            continue
        if file != path_of(leaderboards, record):
            faults.append(f"{file} is left out: its name is not that of its record")
            continue
        records.append(record)
    return records, faults


def merge(standing: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Return the records that stand after ``new`` ones came to ``standing`` ones, in the order of their names.

    A result that stands is never replaced. A record without a result gives way to a newer one that differs from it
    in nothing but the code of its model: what failed was mended.
    """
    records = {record.key: record for record in standing}
    for record in new:
        if record.key in records and has_result(records[record.key]):
            continue
        rivals = [key for key, other in records.items() if not has_result(other) and _same_but_code(other, record)]
        for key in rivals:
            del records[key]
        records[record.key] = record
    return sorted(records.values(), key=name_of)


def has_result(record: Record) -> bool:
    """Return whether the job came to a result; that it diverged is one."""
    return record.status in ("done", "diverged")


def write_records(leaderboards: Path, records: Iterable[Record], superseded: Iterable[Record] = ()) -> None:
    """Write ``records`` below ``leaderboards``, touching none that is so already, and remove superseded ones.

    Args:
        leaderboards: the folder.
        records: what stands from now on.
        superseded: what stood before; of it, files of records that are not among ``records`` are removed.

    Raises:
        UsageError: the folder cannot be written.
    """
    wanted = {path_of(leaderboards, record): record.text() for record in records}
    try:
        for path, text in wanted.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace(path, text)
        for record in superseded:
            if path_of(leaderboards, record) not in wanted:
                path_of(leaderboards, record).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error


def path_of(leaderboards: Path, record: Record) -> Path:
    """Return the file of a record."""
    job = record.job
    return leaderboards / "records" / f"{job.suite}-v{job.suite_version}.{job.budget}" / name_of(record)


def name_of(record: Record) -> str:
    """Return the name of a record's file."""
    job = record.job
    return f"{job.task.name}.{job.model.name}.seed-{job.seed}.{record.key[:12]}.json"


def _same_but_code(one: Record, other: Record) -> bool:
    parts = [
        r.job.model_dump(mode="json", exclude={"settings": True, "model": {"code", "target"}}) for r in (one, other)
    ]
    return digest(parts[0]) == digest(parts[1])
