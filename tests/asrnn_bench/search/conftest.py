from pathlib import Path

import pytest
from search_records import SEARCHED

from asrnn_bench.planning.plan import Request
from asrnn_bench.planning.suite_files import load_suite
from asrnn_bench.search.halving import SearchPlan, plan_search


@pytest.fixture
def searched_suite(tmp_path: Path) -> Path:
    """A suite file with a search."""
    path = tmp_path / "tiny.toml"
    path.write_text(SEARCHED)
    return path


@pytest.fixture
def plan(searched_suite: Path) -> SearchPlan:
    return plan_search(load_suite(str(searched_suite)), Request(models=["rnn", "gru"]))
