"""Compile C files on first use, where the machine has a C compiler, and cache the libraries."""

import atexit
import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path


def why_not_compiled() -> str | None:
    """Return why C cannot be compiled here, which makes scans slow, or None. It does not import torch."""
    found = load_library("probe", Path(__file__).with_name("probe.c"))
    return found if isinstance(found, str) else None


def load_library(
    name: str, source: Path, flags: Sequence[str] = (), includes: Sequence[Path] = ()
) -> ctypes.CDLL | str:
    """Load a C file as a library, compiling it if no cache folder has it. Return the library, or why there is none.

    Without a compiler it loads a library that another process of the user has compiled, as on the nodes of a cluster
    that share a home.

    Args:
        name: the name of the library in the cache folders.
        source: the C file.
        flags: additional flags of the compiler.
        includes: the files that the C file includes. The library is compiled anew when their text changes.
    """
    words, version = compiler()
    options = ["-std=gnu11", "-O3", "-shared", "-fPIC", *flags]
    text = f"{name}-{_digest(*options, platform.machine(), *(file.read_text() for file in (source, *includes)))}"
    reasons = []
    for folder in _cache_folders():
        own = [folder / f"{text}-{_digest(*words, version)}.so"]
        for library in own if words else sorted(folder.glob(f"{text}-*.so")):
            try:
                if not library.exists():
                    _build([*words, *options, str(source)], library)
                return ctypes.CDLL(str(library))
            except (OSError, subprocess.SubprocessError) as error:
                reasons.append(f"in {folder}: {_first_error(error)}")
    if reasons:
        return f"{words[0] if words else 'loading'} failed {reasons[0]}"
    return version


@cache
def compiler() -> tuple[list[str], str]:
    """Return the command of the C compiler and its version, or an empty command and why there is no compiler."""
    try:
        named = shlex.split(os.environ.get("CC", ""))
        found = next(filter(shutil.which, [named[0]] if named else ("cc", "gcc", "clang")), None)
        if found is None:
            return [], f"there is no C compiler{f' {named[0]}' if named else ''}: install one, or name it in CC"
        words = [found, *named[1:]]
        return words, _run([*words, "--version"]).partition("\n")[0]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [], f"the C compiler cannot be asked for its version: {_first_error(error)}"


def _digest(*words: str) -> str:
    return hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:16]


def _build(command: list[str], library: Path) -> None:
    """Compile a library. The compiler's temporary files stay in the folder of the library."""
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        built = Path(work) / library.name
        _run([*command, "-o", str(built)], TMPDIR=work)
        with built.open("rb") as written:
            os.fsync(written.fileno())  # loading an incomplete library would crash the process
        built.replace(library)  # atomic, because another process may compile it too


def _cache_folders() -> Iterator[Path]:
    """Yield folders that belong to the user, the best first. The last one exists only as long as this process."""
    named = os.environ.get("XDG_CACHE_HOME")
    places = [Path(named)] if named else []
    with suppress(RuntimeError):  # the user has no home
        places.append(Path.home() / ".cache")
    for place in places:
        with suppress(OSError):  # the folder is not writable
            folder = place / "asrnn-bench"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.stat().st_uid == os.getuid():
                yield folder
    with suppress(OSError):
        yield _folder_of_this_process()


@cache
def _folder_of_this_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="asrnn-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _run(command: list[str], **variables: str) -> str:
    """Run a command in the C locale, and return its standard output."""
    environment = {**os.environ, "LC_ALL": "C", **variables}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", timeout=300, env=environment
    )
    return done.stdout


def _first_error(error: Exception) -> str:
    """Return the line of an error message that states the cause, not the linker's line that another program failed."""
    lines = [line for line in str(getattr(error, "stderr", None) or error).split("\n") if line.strip()]
    causes = [line for line in lines if not line.startswith("collect2:") and re.search("error|failed|cannot|No ", line)]
    return (causes or lines or [type(error).__name__])[0]
