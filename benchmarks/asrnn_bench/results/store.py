"""The records that leaderboards are made of: one JSON file each, below the leaderboards folder.

::

    <leaderboards>/records/<suite>-v<version>.<budget>/<task>.<model>.seed-<n>.<key12>.json
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from asrnn.errors import UsageError
from asrnn_bench.atomic import replace
from asrnn_bench.records import Record


def read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the records below a leaderboards folder or a runs folder, and a line for each file that is not one.

    The order is that of the files' names. A damaged file is never a reason to lose the others.
    """
    records: list[Record] = []
    faults: list[str] = []
    for file in sorted([*folder.glob("records/*/*.json"), *folder.glob("*/*/*/seed-*/result.json")]):
        try:
            record = Record.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            faults.append(f"{file} is not a record that this version reads; it is left out")
            continue
        if record.key != record.job.key:
            faults.append(f"{file} was altered: its key does not belong to its job; it is left out")
            continue
        records.append(record)
    return records, faults


def merge(standing: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Return the records that stand after ``new`` ones came to ``standing`` ones, in the order of their names.

    A result that stands is never replaced. A record without a result gives way to any newer one of the same
    suite, budget, task, model and seed, whatever the code of the model was.
    """
    records = {record.key: record for record in standing}
    for record in new:
        if record.key in records and records[record.key].scores is not None:
            continue
        rivals = [
            key for key, other in records.items() if other.status in ("failed", "no-data") and _same(other, record)
        ]
        for key in rivals:
            del records[key]
        records[record.key] = record
    return sorted(records.values(), key=_name)


def write_records(leaderboards: Path, records: Iterable[Record]) -> None:
    """Make the files below ``leaderboards`` be ``records``, and touch none that is so already.

    Raises:
        UsageError: the folder cannot be written.
    """
    wanted = {leaderboards / "records" / _folder(record) / _name(record): record.text() for record in records}
    try:
        for path, text in wanted.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace(path, text)
        for path in leaderboards.glob("records/*/*.json"):
            if path not in wanted and _is_superseded(path):
                path.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {leaderboards}: {error.strerror}; choose another --leaderboards") from error


def _is_superseded(path: Path) -> bool:
    """Whether a file that is not wanted is a record without a result; what cannot be read is left for its owner."""
    try:
        return Record.model_validate_json(path.read_bytes()).status in ("failed", "no-data")
    except (OSError, ValidationError):
        return False


def _same(one: Record, other: Record) -> bool:
    return _place(one) == _place(other)


def _place(record: Record) -> tuple[str, int, str, str, str, int]:
    job = record.job
    return job.suite, job.suite_version, job.budget, job.task.name, job.model.name, job.seed


def _folder(record: Record) -> str:
    return f"{record.job.suite}-v{record.job.suite_version}.{record.job.budget}"


def _name(record: Record) -> str:
    return f"{record.job.task.name}.{record.job.model.name}.seed-{record.job.seed}.{record.key[:12]}.json"
