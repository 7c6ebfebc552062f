"""Steps in C: compiled once per cache, the same for each width of vectors and each number of samples."""

from pathlib import Path

import pytest
import torch
from scan_support import backend_used, every_recurrence, needs_compiler, random_cell

from asrnn import build_cell, compiling
from asrnn.ops import compiled, scan_with
from asrnn.ops.compiled import compiled_runner
from asrnn.ops.first_run import first_run_error

PROCESSORS = {**compiled._PROCESSORS, "OTHER": compiled._OTHER}
NATIVE = torch.backends.cpu.get_cpu_capability() if torch.backends.cpu.get_cpu_capability() in PROCESSORS else "OTHER"


def instructions() -> set[str]:
    """Return the instruction sets of this processor, as Linux reports them."""
    try:
        return set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split())
    except OSError:
        return set()


def test_a_library_is_compiled_once_and_cached(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")
    (library,) = fresh_cache.glob("*.so")
    built = library.stat().st_mtime_ns
    compiled_runner.cache_clear()
    needs_compiler("antisymmetric")
    assert library.stat().st_mtime_ns == built
    monkeypatch.setattr(compiled, "_OTHER", (4, 5, ()))
    monkeypatch.setattr(compiled, "_PROCESSORS", {})
    compiled_runner.cache_clear()
    needs_compiler("antisymmetric")  # other flags make another library
    assert len(list(fresh_cache.glob("*.so"))) == 2


def test_without_a_home_folder_a_process_compiles_for_itself(fresh_cache, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_compiler("antisymmetric")

    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    compiling._folder_of_this_process.cache_clear()
    compiled_runner.cache_clear()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert backend_used(build_cell("antisymmetric", 1, 5)) == "compiled"


@pytest.mark.parametrize("processor", sorted(PROCESSORS.keys() - {NATIVE}))
def test_the_c_code_is_right_with_the_vectors_of_every_processor(
    fresh_cache, monkeypatch: pytest.MonkeyPatch, processor: str
) -> None:
    """Where this processor lacks the instructions, the compiler builds the vectors from smaller ones.

    All other tests use the optimised code for this processor. Without optimisation compiling takes a third of the time,
    and the results do not depend on unrolled loops.
    """
    needs_compiler("antisymmetric")
    lanes, rows, flags = PROCESSORS[processor]
    flags = flags if {flag.removeprefix("-m") for flag in flags} <= instructions() else ()
    monkeypatch.setattr(compiled, "_PROCESSORS", {})
    monkeypatch.setattr(compiled, "_OTHER", (lanes, rows, (*flags, "-O0")))
    compiled_runner.cache_clear()
    for recurrence in every_recurrence():
        runner = compiled_runner(recurrence)
        assert runner.panel == 2 * lanes
        assert first_run_error(runner, recurrence, runner.first_size, torch.device("cpu")) is None, recurrence


@pytest.mark.parametrize("name", ["antisymmetric", "lem"])
def test_outputs_do_not_depend_on_the_number_of_samples(name: str) -> None:
    """The C code has a separate function for each number of rows that it computes together."""
    needs_compiler(name)
    cell, x = random_cell(name, 2, 21, torch.float32), torch.randn(26, 5, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), scan_with("compiled"):
        every, _ = cell.scan(x, return_sequence=True)
        for number in range(1, 26):
            assert torch.equal(cell.scan(x[:number], return_sequence=True)[0], every[:number]), number
