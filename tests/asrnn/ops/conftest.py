"""Fixtures of the tests of fused scans: memory that is NaN until it is written, several threads, and empty caches."""

import pytest
from scan_fixtures import backend as backend
from scan_fixtures import cell as cell
from scan_fixtures import nan_memory as nan_memory
from scan_fixtures import threads_of_torch as threads_of_torch

from asrnn import compiling
from asrnn.compiling import compiler
from asrnn.ops import backends
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.first_run import first_run_error


@pytest.fixture
def fresh_cache(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """Start with empty caches: nothing is compiled, and no back end has had its first run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    caches = (compiler, compiling._folder_of_this_process, compiled_runner, first_run_error, backends._warn_once)
    for each in caches:
        each.cache_clear()
    yield tmp_path / "asrnn-bench"
    for each in caches:
        each.cache_clear()
