"""List the GPUs that CUDA may use, by names that CUDA reads, without importing torch."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""CUDA's variable for the GPUs that a process may use, in order; empty for none."""

LIST_SECONDS = 30.0

DEVICE_FILES = Path("/dev")
"""The folder of the driver's device files; tests use another one."""

_GPU = re.compile(r"GPU (?P<index>\d+): .*?(?:\(UUID: (?P<name>GPU-[^)\s]+)\))?")
_INSTANCE = re.compile(r"\s+MIG .*\(UUID: (?P<name>MIG-[^)\s]+)\)")
_NUMBER = re.compile(r"\s*(?P<number>[+-]?\d+)")


@dataclass(frozen=True)
class NamedGpus:
    """The names of GPUs, and where they come from, as the subject and the verb of a sentence."""

    names: tuple[str, ...] = ()
    named_by: str = "nvidia-smi lists"


def count_gpus(count: int) -> str:
    """Return a number of GPUs in words."""
    return f"{count} GPU{'s' * (count != 1)}"


def named_gpus() -> NamedGpus:
    """Return the GPUs of this process: from ``CUDA_VISIBLE_DEVICES``, else from ``nvidia-smi``.

    If ``nvidia-smi`` does not answer, as in many containers, they come from the driver's device files.
    """
    chosen = os.environ.get(VISIBLE_VARIABLE)
    if chosen is None:
        listed = listed_gpus()
        return NamedGpus(device_files(), "the driver's device files name") if listed is None else NamedGpus(listed)
    return NamedGpus(read_visible(chosen), f"{VISIBLE_VARIABLE}={chosen} names")


def read_visible(text: str) -> tuple[str, ...]:
    """Return the GPUs that a value of ``CUDA_VISIBLE_DEVICES`` names, as CUDA and torch read it.

    All words are numbers, or all are UUIDs of one kind, ``GPU-`` or ``MIG-``. The first other word, such as -1 or
    ``NoDevFiles``, ends the list. A repeated word makes the list empty.

    >>> read_visible("0, 2"), read_visible("1,-1,0"), read_visible("NoDevFiles"), read_visible("1,1")
    (('0', '2'), ('1',), (), ())
    """
    kind = next((prefix for prefix in ("GPU-", "MIG-") if text.startswith(prefix)), None)
    found: list[str] = []
    for word in text.split(","):
        if kind is not None:
            name = word.strip() if word.strip().startswith(kind) else None
        else:
            matched = _NUMBER.match(word)
            number = int(matched["number"]) if matched else -1
            name = str(number) if number >= 0 else None
        if name is None:
            break
        if name in found:
            return ()
        found.append(name)
    return tuple(found)


def listed_gpus() -> tuple[str, ...] | None:
    """Return the UUIDs of the GPUs that ``nvidia-smi -L`` lists; for a divided GPU, those of its MIG instances.

    Numbers would not do: CUDA counts the fastest GPU first and only one MIG instance, unlike ``nvidia-smi``.

    Returns:
        the names, or ``None`` if the program is missing, fails or does not end.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=LIST_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_list(said.stdout) if said.returncode == 0 else None


def device_files() -> tuple[str, ...]:
    """Return the numbers, from 0, of the GPUs whose device files this process may open."""
    files = DEVICE_FILES.glob("nvidia[0-9]*")
    # A cluster can forbid some files to a job; CUDA then counts only the others.
    return tuple(str(number) for number, _ in enumerate(file for file in files if os.access(file, os.R_OK | os.W_OK)))


def read_list(text: str) -> tuple[str, ...]:
    """Return the GPUs in the output of ``nvidia-smi -L``; lines of another form are skipped."""
    found: list[str] = []
    whole: str | None = None
    for line in text.splitlines():
        if gpu := _GPU.fullmatch(line.rstrip()):
            whole = gpu["name"] or gpu["index"]
            found.append(whole)
        elif instance := _INSTANCE.fullmatch(line.rstrip()):
            if whole is not None:
                found.remove(whole)
                whole = None
            found.append(instance["name"])
    return tuple(found)
