"""A session: the files it writes and when, and a whole session at a tiny size."""

import csv
from pathlib import Path
from typing import Any

import pytest
from speed_support import contender, timed

from asrnn_bench.speed import session
from asrnn_bench.speed.contenders import Contender, choose_contenders
from asrnn_bench.speed.growth import GROWTH_COLUMNS
from asrnn_bench.speed.plan import SpeedPlan
from asrnn_bench.speed.plot import write_plot
from asrnn_bench.speed.process import ChildError
from asrnn_bench.speed.rows import COLUMNS
from asrnn_bench.speed.session import Session
from asrnn_bench.speed.sizes import Size

SMALL, LARGE = Size(2, 4, 1, 3), Size(2, 8, 1, 3)
FACTS = {"cpu": "a processor", "accelerator": "a GPU", "cpu_capability": "AVX2", "torch": "2.9.0", "commit": None}


class Children:
    """Answer instead of the processes, and record the requests."""

    def __init__(self, device: str = "cpu", killed_at: Size | None = None) -> None:
        self.device, self.killed_at = device, killed_at
        self.asked: list[tuple[str, int, Any]] = []
        self.together: list[tuple[list[str], bool]] = []

    def __call__(
        self, question: str, threads: int, request: dict[str, Any], on_round: Any = None, *, as_in_jobs: bool = True
    ) -> dict[str, Any]:
        self.asked.append((question, threads, request.get("size")))
        if question == "time":
            self.together.append(([one["name"] for one in request["contenders"]], as_in_jobs))
        if question == "describe":
            return {"device": self.device, "environment": FACTS}
        if self.killed_at is not None and Size(*request["size"]) == self.killed_at:
            raise ChildError("the process was ended by signal 9")
        if question == "memory":
            return {"peak_mib": 10.0}
        return timed({one["name"]: [0.01] * request["rounds"] for one in request["contenders"]}, product=[1.0])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def start(monkeypatch: pytest.MonkeyPatch, folder: Path, children: Children) -> Session:
    monkeypatch.setattr(session, "ask", children)
    both = [contender("rnn"), contender("nn.LSTM")]
    axes = {"num_steps": (SMALL, LARGE), "batch_size": (SMALL,)}
    plan = SpeedPlan(both, [SMALL, LARGE], threads=[1, 2], rounds=2, axes=axes, growing=both, square=8)
    return Session(plan, folder, lambda stage, detail: None)


def test_each_size_is_timed_with_each_number_of_threads_and_written_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    children = Children()
    under_way = start(monkeypatch, tmp_path, children)
    written = [len(read(tmp_path / "speed.csv")) for _ in under_way.time_sizes()]
    assert written == [2, 4, 6, 8]
    small, large = [2, 4, 1, 3], [2, 8, 1, 3]
    assert children.asked[1:] == [
        ("time", 1, small),
        ("time", 2, small),
        ("memory", 2, small),
        ("memory", 2, small),
        ("time", 1, large),
        ("time", 2, large),
        ("memory", 2, large),
        ("memory", 2, large),
    ]
    assert [row["peak_mib"] for row in read(tmp_path / "speed.csv")] == ["", "", "10", "10"] * 2


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_other_libraries_and_settings_are_timed_separately_and_on_the_cpu_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str
) -> None:
    children = Children(device)
    monkeypatch.setattr(session, "ask", children)
    peers = [Contender("jax.LSTM", "jax", "jax:lstm", "jax 1.0")]
    peers.append(Contender("nn.LSTM-plain", "layer", "torch.nn:LSTM", "torch 2.9.0", setting="plain"))
    plan = SpeedPlan([*peers, contender("nn.LSTM")], [SMALL], threads=[1], rounds=2, square=8)
    (rows,) = Session(plan, tmp_path, lambda stage, detail: None).time_sizes()
    apart = [(["jax.LSTM"], True), (["nn.LSTM-plain"], False)] if device == "cpu" else []
    assert children.together == [(["nn.LSTM"], True), *apart]
    assert [row.median_ms for row in rows] == [10.0] * (1 + len(apart))


def test_growth_is_timed_once_where_axes_cross_and_written_with_its_slopes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    children = Children()
    start(monkeypatch, tmp_path, children).time_growth()
    assert [size for _, _, size in children.asked[1:]] == [[2, 4, 1, 3], [2, 8, 1, 3]]
    rows = read(tmp_path / "growth.csv")
    assert list(rows[0]) == list(GROWTH_COLUMNS)
    assert [row["axis"] for row in rows] == ["num_steps"] * 4 + ["batch_size"] * 2
    assert [row["slope"] for row in rows] == ["0"] * 4 + [""] * 2


def test_a_killed_process_gives_rows_with_a_reason_and_the_next_size_is_timed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    under_way = start(monkeypatch, tmp_path, Children(killed_at=SMALL))
    list(under_way.time_sizes())
    rows = read(tmp_path / "speed.csv")
    assert {row["reason"] for row in rows[:4]} == {"the process was ended by signal 9"}
    assert {row["median_ms"] for row in rows[:4]} == {""}
    assert {row["median_ms"] for row in rows[4:]} == {"10"}
    assert len(under_way.failures) == 4


def test_on_a_gpu_there_is_one_table_a_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children = Children(device="cuda")
    under_way = start(monkeypatch, tmp_path, children)
    assert len(list(under_way.time_sizes())) == 2
    assert {row["threads"] for row in read(tmp_path / "speed.csv")} == {""}
    assert {row["machine"] for row in read(tmp_path / "speed.csv")} == {"a GPU"}
    paths = write_plot(tmp_path / "speed", under_way.rows, [], {})
    assert "a GPU" in paths[1].read_text()


def test_the_plot_names_every_contender(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    under_way = start(monkeypatch, tmp_path, Children(killed_at=LARGE))
    assert write_plot(tmp_path / "speed", [], [], {}) == []
    list(under_way.time_sizes())
    under_way.time_growth()
    png, svg = write_plot(tmp_path / "speed", under_way.rows, under_way.grown, under_way.plan.axes)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    words = ("rnn", "nn.LSTM", "1 thread", "2 threads", "growth with T", "growth with B", LARGE.label, "failed")
    assert [word for word in words if word not in text] == []


@pytest.mark.slow
def test_a_whole_session_at_a_tiny_size(tmp_path: Path) -> None:
    everyone = choose_contenders(["antisymmetric"])
    axes = {"num_steps": (SMALL,)}  # one process per size
    plan = SpeedPlan(everyone, [SMALL], threads=[1], on_cpu=True, rounds=2, axes=axes, growing=everyone[:1], square=32)
    heard: list[str] = []
    under_way = Session(plan, tmp_path, lambda stage, detail: heard.append(detail))
    list(under_way.time_sizes())
    under_way.time_growth()
    assert under_way.failures == []
    rows = read(tmp_path / "speed.csv")
    assert list(rows[0]) == list(COLUMNS)
    assert [row["model"] for row in rows] == ["antisymmetric", "nn.LSTM"]
    for row in rows:
        assert float(row["median_ms"]) >= float(row["min_ms"]) > 0
        assert row["rounds"] == "2"
        assert float(row["product_gflops"]) > 0
        assert row["scan_backend"]
    assert [bool(row["roofline_share"]) for row in rows] == [True, False]
    assert len(read(tmp_path / "growth.csv")) == 1
    assert "2 of 2 rounds done" in heard
