"""Measure what a plan asks for, one size after the other, and write the tables after each size."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asrnn_bench.files.writing import replace
from asrnn_bench.speed.contenders import Contender
from asrnn_bench.speed.growth import GROWTH_COLUMNS, growth_rows
from asrnn_bench.speed.plan import SpeedPlan
from asrnn_bench.speed.process import ChildError, ask
from asrnn_bench.speed.rows import (
    COLUMNS,
    MachineDescription,
    Row,
    as_mapping,
    csv_text,
    failed_rows,
    make_rows,
    with_memory,
)
from asrnn_bench.speed.sizes import Size

Say = Callable[[str, str], None]


class Session:
    """The measurements of one plan.

    Args:
        plan: the measurements to make.
        folder: the folder of ``speed.csv`` and ``growth.csv``.
        say: shows the progress to the user, as a stage and a detail.
    """

    def __init__(self, plan: SpeedPlan, folder: Path, say: Say) -> None:
        self.plan, self.folder, self.say = plan, folder, say
        self.rows: list[Row] = []
        self.grown: list[Row] = []
        self.machine = MachineDescription.described(ask("describe", plan.threads[-1], {"on_cpu": plan.on_cpu}))
        on_cpu = self.machine.device == "cpu"
        self.contenders = [
            one for one in plan.contenders if on_cpu or not one.own_process
        ]  # the others run on the CPU only

    @property
    def failures(self) -> list[Row]:
        """The rows that have a reason instead of numbers."""
        return [row for row in [*self.rows, *self.grown] if row.reason]

    def time_sizes(self) -> Iterable[list[Row]]:
        """Time all contenders at each size, and yield the new rows of each size and number of threads."""
        threads = self.plan.threads if self.machine.device == "cpu" else self.plan.threads[-1:]
        for size in self.plan.sizes:
            for number in threads:
                rows = self._timed(size, number, self.contenders, self.plan.square)
                if number == threads[-1] and self.plan.memory:
                    rows = with_memory(rows, {one.name: self._memory(size, one) for one in self.contenders})
                self.rows += rows
                self._write("speed.csv", COLUMNS, map(as_mapping, self.rows))
                yield rows

    def time_growth(self) -> None:
        """Time the plan's growing contenders at the sizes of all axes, with the most threads."""
        for size in self.plan.growth_sizes:
            self.grown += self._timed(size, self.plan.threads[-1], self.plan.growing, 0)
            self._write("growth.csv", GROWTH_COLUMNS, growth_rows(self.grown, self.plan.axes))

    def _timed(self, size: Size, threads: int, contenders: Sequence[Contender], square: int) -> list[Row]:
        where = f"{threads} thread{'s' * (threads > 1)}" if self.machine.device == "cpu" else self.machine.device
        stage = f"timing {size.label}, {where}"
        self.say(stage, "warming up")
        together = [one for one in contenders if not one.own_process]
        try:
            timed = self._ask_for_times(stage, size, threads, together, square)
        except ChildError as error:
            return failed_rows(self.machine, threads, size, contenders, str(error))
        for one in contenders:
            if one.own_process:
                try:
                    alone = self._ask_for_times(f"{stage}: {one.name}", size, threads, [one], 0)
                except ChildError as error:
                    alone = {"seconds": {}, "scan_backends": {}, "reasons": {one.name: str(error)}}
                for part in ("seconds", "scan_backends", "reasons"):
                    timed[part] = timed[part] | alone[part]
        return make_rows(self.machine, threads, size, contenders, timed, square)

    def _ask_for_times(
        self, stage: str, size: Size, threads: int, contenders: Sequence[Contender], square: int
    ) -> dict[str, Any]:
        """Time contenders in one process."""
        request = self._request(size) | {
            "contenders": [asdict(one) for one in contenders],
            "rounds": self.plan.rounds,
            "square": square,
        }

        def on_round(number: int) -> None:
            self.say(stage, f"{number} of {self.plan.rounds} rounds done")

        plain = any(one.setting == "plain" for one in contenders)
        return ask("time", threads, request, on_round, as_in_jobs=not plain)

    def _memory(self, size: Size, contender: Contender) -> dict[str, Any]:
        """Measure the peak memory of one contender in its own process."""
        self.say(f"peak memory at {size.label}", contender.name)
        try:
            request = self._request(size) | {"contender": asdict(contender)}
            return ask("memory", self.plan.threads[-1], request, as_in_jobs=contender.setting != "plain")
        except ChildError as error:
            return {"reason": str(error)}

    def _request(self, size: Size) -> dict[str, Any]:
        return {"device": self.machine.device, "size": list(asdict(size).values())}

    def _write(self, name: str, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> None:
        replace(self.folder / name, csv_text(columns, rows))
