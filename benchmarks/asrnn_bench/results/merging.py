"""Merge new records into those of a leaderboards folder."""

from collections.abc import Iterable

from asrnn_bench.files.canonical import digest
from asrnn_bench.records.record import Record
from asrnn_bench.results.record_files import name_of


def merge(standing: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Return the records that a folder of ``standing`` records holds after ``new`` ones, in the order of their names.

    A result is replaced only by a result of the same job that holds more (:meth:`Record.holds_more`). A record without
    a result is replaced by any new record that differs from it only in the code of its model, as a user mends the code
    of a job that failed.
    """
    records = {record.key: record for record in standing}
    lost: dict[str, list[str]] = {}  # the keys of records without a result, by the digest of all but their code
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


def _all_but_code(record: Record) -> str:
    """Return a digest of a record's job without the code of its model."""
    return digest(record.job.model_dump(mode="json", exclude={"settings": True, "model": {"code", "target"}}))
