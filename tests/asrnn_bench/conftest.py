from pathlib import Path

import pytest
from bench_support import TINY

from asrnn_bench.planning.plan import Request, make_plan
from asrnn_bench.planning.spec import load_suite
from asrnn_bench.records import Job


@pytest.fixture
def tiny_suite(tmp_path: Path) -> Path:
    """A suite file whose jobs take four steps each."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def jobs() -> list[Job]:
    """The jobs of the shipped suite's quick budget, with two seeds."""
    return make_plan(load_suite("long-range"), Request(seeds=[0, 1])).jobs
