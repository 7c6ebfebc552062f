"""The cache of compiled C files, and the messages where C cannot be compiled."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrnn import compiling
from asrnn.compiling import _first_error, compiler, load_library, why_not_compiled

PROBE = Path(compiling.__file__).with_name("probe.c")


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Set up an empty cache and an empty home folder, on a machine with a compiler."""
    if not compiler()[0]:
        pytest.skip(compiler()[1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield tmp_path / "named/asrnn-bench"
    compiler.cache_clear()


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    compiler.cache_clear()


def test_it_is_compiled_once(cache: Path) -> None:
    assert why_not_compiled() is None
    (library,) = cache.glob("probe-*.so")
    built = library.stat().st_mtime_ns
    assert why_not_compiled() is None
    assert library.stat().st_mtime_ns == built


def test_without_a_compiler_a_library_of_another_node_is_loaded(cache: Path, monkeypatch) -> None:
    assert why_not_compiled() is None
    without_compiler(monkeypatch)
    assert why_not_compiled() is None
    reason = "there is no C compiler: install one, or name it in CC"
    assert load_library("probe", PROBE, ["-DOTHER"]) == reason  # the same source for another processor
    (library,) = cache.glob("*.so")
    other = library.with_name(library.name.rpartition("-")[0] + "-0.so")
    other.write_bytes(b"of another machine")
    assert why_not_compiled() is None  # with the next folder
    library.unlink()
    assert str(load_library("probe", PROBE)).startswith(f"loading failed in {cache}: ")


@pytest.mark.parametrize("fault", ["full", "noexec"])
def test_the_next_folder_is_tried(cache: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    build, load = compiling._build, ctypes.CDLL

    def full(command: list[str], library: Path) -> None:
        if library.is_relative_to(cache):
            raise subprocess.CalledProcessError(
                1, command, stderr="ld: final link failed: No space left on device\ncollect2: error: ld returned 1\n"
            )
        build(command, library)

    def noexec(path: str) -> ctypes.CDLL:
        if Path(path).is_relative_to(cache):
            raise OSError(f"{path}: failed to map segment from shared object: Operation not permitted")
        return load(path)

    if fault == "full":
        monkeypatch.setattr(compiling, "_build", full)
    else:
        monkeypatch.setattr(ctypes, "CDLL", noexec)
    assert why_not_compiled() is None
    assert list((cache.parents[1] / "home/.cache/asrnn-bench").glob("probe-*.so"))
    monkeypatch.setattr(compiling, "_cache_folders", lambda: iter([cache]))
    cause = "final link failed: No space left on device" if fault == "full" else "Operation not permitted"
    assert str(why_not_compiled()).endswith(cause)
    assert str(cache) in str(why_not_compiled())


def test_a_home_that_cannot_be_written_to(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("named", "home"):
        (tmp_path / name).write_text("no folder")
    assert why_not_compiled() is None
    assert not cache.exists()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("", "returned non-zero exit status 1"),
        ("note: x\nscan.c:1: error: no such thing\n", "scan.c:1: error: no such thing"),
        (
            "/usr/bin/ld: cannot open output file a.so\ncollect2: error: ld\n",
            "/usr/bin/ld: cannot open output file a.so",
        ),
    ],
)
def test_the_error_is_the_line_with_the_cause(said: str, cause: str) -> None:
    error = subprocess.CalledProcessError(1, "cc", stderr=said)
    assert cause in _first_error(error)


def test_the_question_does_not_import_torch() -> None:
    program = "import sys, asrnn.compiling as c; c.why_not_compiled(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
