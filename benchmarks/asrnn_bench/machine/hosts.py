"""Know the host of a process: the machine since its last start, and the PID namespace in which process numbers count.

Containers share a machine and a host name and still do not see one another's processes, and a container has another
host name at each start. So a host is the kernel's boot id and the PID namespace, and its name is for people.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

FIRST_NAMESPACE = "pid:[4026531836]"
"""The machine's own PID namespace, which has the same number on every Linux machine."""

Sight = Literal["here", "elsewhere", "gone"]
"""Where a claim was made, seen from a host: on it, on another one, or on it before the machine was started anew."""


@dataclass(frozen=True)
class Host:
    """A host: its name, its boot id, its PID namespace, and a digest of its machine id; empty where unknown."""

    name: str
    boot: str
    namespace: str
    machine: str

    @staticmethod
    def here() -> "Host":
        """Return the host of this process."""
        return _host_of(os.getpid())

    def claim(self) -> dict[str, Any]:
        """Return what a claim says of the host on which it is made; the boot id is a part of the process's start."""
        return {"host": self.name, "namespace": self.namespace or None, "machine": self.machine or None}

    def sees(self, claim: Mapping[str, Any]) -> Sight:
        """Return where a claim was made; claims of older versions have the host's name alone.

        A machine that was started anew is known by its id and name, outside of containers only: images share ids.
        """
        namespace, started = claim.get("namespace"), claim.get("started")
        if not isinstance(namespace, str) or not isinstance(started, str) or not self.namespace or not self.boot:
            return "here" if claim.get("host") == self.name else "elsewhere"
        if started.split(" ")[0] == self.boot:
            return "here" if namespace == self.namespace else "elsewhere"
        own = (FIRST_NAMESPACE, FIRST_NAMESPACE, self.name, self.machine)
        is_same = (namespace, self.namespace, claim.get("host"), claim.get("machine")) == own and self.machine
        return "gone" if is_same else "elsewhere"


@cache
def _host_of(pid: int) -> Host:
    """Return the host of this process, whose number it is called with: a forked child may be in another namespace."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    machine = _read("/etc/machine-id")  # a secret of the machine, which its digest does not tell
    digest = sha256(f"asrnn-bench {machine}".encode()).hexdigest()[:16] if machine else ""
    return Host(platform.node(), boot_id(), namespace, digest)


@cache
def boot_id() -> str:
    """Return what tells this start of the machine from all others; empty where Linux does not say."""
    return _read("/proc/sys/kernel/random/boot_id")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def start_of(pid: int) -> str | None:
    """Return what tells a process from all that had or will have its number; ``None`` where there is no such process.

    It counts from the start of the machine, so that setting the clock changes nothing.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if not boot_id() or fields[0] == "Z" else f"{boot_id()} {fields[19]}"
