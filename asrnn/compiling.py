"""C that is compiled when it is first used, where the machine has a C compiler."""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path


def load_library(
    name: str, source: Path, flags: Sequence[str] = (), includes: Sequence[Path] = ()
) -> ctypes.CDLL | str:
    """Compile a C file, unless that was done before, and load it; or say in a sentence why that cannot be.

    Args:
        name: what the library is called in the user's cache.
        source: the C file.
        flags: of the compiler, beside those of any library.
        includes: the files that it includes by flags; another text of theirs is another library.
    """
    words, version = compiler()
    if not words:
        return version
    command = [*words, "-std=gnu11", "-O3", "-shared", "-fPIC", *flags, str(source)]
    try:
        return ctypes.CDLL(str(_build(name, command, version, [source, *includes])))
    except (OSError, subprocess.SubprocessError) as error:
        return f"{words[0]} failed: {_first_error(error)}"


@cache
def compiler() -> tuple[list[str], str]:
    """Return how the C compiler is called, and its version; or nothing, and in a sentence why there is none."""
    try:
        named = shlex.split(os.environ.get("CC", ""))
        found = next(filter(shutil.which, [named[0]] if named else ("cc", "gcc", "clang")), None)
        if found is None:
            return [], f"there is no C compiler{f' {named[0]}' if named else ''}: install one, or name it in CC"
        words = [found, *named[1:]]
        return words, _run([*words, "--version"]).partition("\n")[0]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [], f"the C compiler cannot be asked for its version: {_first_error(error)}"


def _build(name: str, command: list[str], version: str, files: Sequence[Path]) -> Path:
    """Compile into the user's cache, unless the same compiler has compiled the same text for the same processor."""
    identity = [*command, version, platform.machine(), *(file.read_text() for file in files)]
    full_name = f"{name}-{hashlib.sha256(chr(0).join(identity).encode()).hexdigest()[:16]}.so"
    folder = _cache_folder()
    library = folder / full_name
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            built = Path(work) / full_name
            _run([*command, "-o", str(built)])
            with built.open("rb") as written:
                os.fsync(written.fileno())  # loading half a library ends the process
            built.replace(library)  # whole or not at all, whoever else compiles it now
    return library


@cache
def _cache_folder() -> Path:
    """Return a folder of the user's own, for as long as this process lasts where there is no other."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asrnn-bench"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or one that cannot be written to
        pass
    folder = Path(tempfile.mkdtemp(prefix="asrnn-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _run(command: list[str]) -> str:
    """Return what a command prints, in English."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", timeout=300, env=environment
    )
    return done.stdout


def _first_error(error: Exception) -> str:
    lines = str(getattr(error, "stderr", None) or error).split("\n")
    return next((line for line in lines if "error" in line), lines[0])
