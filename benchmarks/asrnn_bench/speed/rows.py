"""Compute the rows of ``speed.csv``, one for each contender, size and number of threads, and write them as CSV."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

from asrnn_bench.files.plain_text import spreadsheet_safe
from asrnn_bench.speed.contenders import REFERENCE, Contender
from asrnn_bench.speed.floor import copied_bytes, floor_seconds
from asrnn_bench.speed.roofline import product_operations, training_operations
from asrnn_bench.speed.sizes import Size


@dataclass(frozen=True)
class MachineDescription:
    """The machine and the software on which the rows were measured."""

    device: str
    name: str
    cpu_capability: str
    torch: str
    commit: str

    @classmethod
    def described(cls, answer: Mapping[str, Any]) -> "MachineDescription":
        """Return the description from the answer to ``describe``."""
        facts = answer["environment"]
        name = facts["accelerator"] if answer["device"] == "cuda" else facts["cpu"]
        return cls(answer["device"], name, facts["cpu_capability"], facts["torch"], facts["commit"] or "")


@dataclass(frozen=True)
class Row:
    """The results of one contender at one size. The fields are the columns of ``speed.csv``."""

    device: str
    threads: int | None
    batch_size: int
    num_steps: int
    input_size: int
    hidden_size: int
    model: str
    package: str
    scan_backend: str = ""
    rounds: int = 0
    median_ms: float | None = None
    min_ms: float | None = None
    speedup_over_lstm: float | None = None
    roofline_ms: float | None = None
    roofline_share: float | None = None
    product_gflops: float | None = None
    floor_ms: float | None = None
    over_floor: float | None = None
    copy_gb: float | None = None
    peak_mib: float | None = None
    peak_over_lstm: float | None = None
    reason: str = ""
    torch: str = ""
    cpu_capability: str = ""
    machine: str = ""
    commit: str = ""

    @property
    def size(self) -> Size:
        """B, T, I and H."""
        return Size(self.batch_size, self.num_steps, self.input_size, self.hidden_size)


COLUMNS = {
    "device": "`cpu` or `cuda`",
    "threads": "threads of the process; empty on a GPU",
    "batch_size": "B, samples",
    "num_steps": "T, time steps",
    "input_size": "I, inputs a step",
    "hidden_size": "H, hidden units",
    "model": "a registered model, or a peer: `nn.*` of torch, `torchrecurrent.*`, `jax.*`",
    "package": "the package of its code, with the version",
    "scan_backend": "back end of the recurrence; `torch` for torch's kernels, `module` for another module",
    "rounds": "number of timed steps",
    "median_ms": "median milliseconds of one training step: forward, cross entropy, backward, Adam",
    "min_ms": "their minimum; far below the median if something else was running",
    "speedup_over_lstm": "median of `nn.LSTM` in the same rounds, divided by this median",
    "roofline_ms": "milliseconds of the matrix products alone, at `product_gflops`; empty where that is not defined",
    "roofline_share": "`roofline_ms` / `median_ms`, in [0, 1]",
    "product_gflops": "10^9 operations per second of a square float32 product, the median in the same rounds",
    "floor_ms": "milliseconds of the model's own products and bytes, at `product_gflops` and `copy_gb` (docs/speed.md)",
    "over_floor": "`median_ms` / `floor_ms`",
    "copy_gb": "10^9 bytes per second, read and written, of a copy of 256 MiB, the median in the same rounds",
    "peak_mib": "MiB of memory in one step above the memory in use before it; only with the most threads",
    "peak_over_lstm": "`peak_mib` divided by that of `nn.LSTM`",
    "reason": "what failed, and why",
    "torch": "version of torch",
    "cpu_capability": "the vector instructions that torch uses",
    "machine": "processor or GPU",
    "commit": "commit of the checkout; empty for an installed package",
}


def make_rows(
    machine: MachineDescription,
    threads: int,
    size: Size,
    contenders: Sequence[Contender],
    timed: Mapping[str, Any],
    side: int,
) -> list[Row]:
    """Return the rows of one size and number of threads.

    Args:
        machine: the machine.
        threads: the number of threads.
        size: B, T, I and H.
        contenders: the contenders.
        timed: the answer to ``time``.
        side: the side of the square matrices of the product in it.
    """
    seconds: Mapping[str, Sequence[float]] = timed["seconds"]
    gflops = product_operations(side) / median(timed["product_seconds"]) / 1e9 if timed["product_seconds"] else None
    reference = median(seconds[REFERENCE]) * 1e3 if seconds.get(REFERENCE) else None
    copied = timed.get("copy_seconds")
    copy_gb = copied_bytes() / median(copied) / 1e9 if copied else None
    rows = []
    for contender in contenders:
        row = _plain_row(machine, threads, size, contender)
        times = seconds.get(contender.name)
        if times:
            row = replace(
                _above_floor(_compared(row, median(times) * 1e3, reference, gflops), copy_gb),
                min_ms=min(times) * 1e3,
                rounds=len(times),
                scan_backend=timed["scan_backends"][contender.name],
            )
        rows.append(replace(row, reason=timed["reasons"].get(contender.name, "")))
    return rows


def failed_rows(
    machine: MachineDescription, threads: int, size: Size, contenders: Sequence[Contender], reason: str
) -> list[Row]:
    """Return rows without numbers, with the reason why there are none."""
    return [replace(_plain_row(machine, threads, size, one), reason=reason) for one in contenders]


def with_memory(rows: Sequence[Row], measured: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the rows with the peak memory from the answers to ``memory``, which are keyed by contender."""
    reference = measured.get(REFERENCE, {}).get("peak_mib")
    filled = []
    for row in rows:
        answer = measured[row.model]
        peak = answer.get("peak_mib")
        share = peak / reference if peak is not None and reference else None
        reason = row.reason or answer.get("reason", "")
        filled.append(replace(row, peak_mib=peak, peak_over_lstm=share, reason=reason))
    return filled


def csv_text(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV. Numbers have six significant digits, and no text can be a spreadsheet formula."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = list(columns)
    table.writerow(names)
    table.writerows([_cell(row[name]) for name in names] for row in rows)
    return text.getvalue()


def as_mapping(row: Row) -> dict[str, Any]:
    """Return a row as a mapping from column to value."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _plain_row(machine: MachineDescription, threads: int, size: Size, contender: Contender) -> Row:
    return Row(
        device=machine.device,
        threads=threads if machine.device == "cpu" else None,
        batch_size=size.batch_size,
        num_steps=size.num_steps,
        input_size=size.input_size,
        hidden_size=size.hidden_size,
        model=contender.name,
        package=contender.package,
        torch=machine.torch,
        cpu_capability=machine.cpu_capability,
        machine=machine.name,
        commit=machine.commit,
    )


def _compared(row: Row, median_ms: float, reference_ms: float | None, gflops: float | None) -> Row:
    operations = training_operations(row.model, row.size)
    roofline_ms = operations / gflops / 1e6 if operations is not None and gflops else None
    return replace(
        row,
        median_ms=median_ms,
        speedup_over_lstm=reference_ms / median_ms if reference_ms else None,
        roofline_ms=roofline_ms,
        roofline_share=roofline_ms / median_ms if roofline_ms is not None else None,
        product_gflops=gflops,
    )


def _above_floor(row: Row, copy_gb: float | None) -> Row:
    if row.median_ms is None or row.product_gflops is None or copy_gb is None:
        return row
    seconds = floor_seconds(row.model, row.size, row.product_gflops * 1e9, copy_gb * 1e9)
    if seconds is None:
        return row
    return replace(row, floor_ms=seconds * 1e3, over_floor=row.median_ms / seconds / 1e3, copy_gb=copy_gb)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else spreadsheet_safe(str(value))
