"""Identify the host of a process: a start of a machine, and the PID namespace of the process.

Containers can share a machine and a host name and still not see each other's processes, and a container gets a new host
name at each start. Therefore the kernel's boot id and the PID namespace identify a host. Its name is only for people.
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
"""The PID namespace of a machine outside all containers: the same number on every Linux machine."""

Sight = Literal["here", "elsewhere", "gone"]
"""Where a claim was made, seen from a host: on this host, on another one, or on this machine before its last start."""


@dataclass(frozen=True)
class Host:
    """A host: its name, boot id, PID namespace, and a digest of its machine id; each is empty if unknown."""

    name: str
    boot: str
    namespace: str
    machine: str

    @staticmethod
    def here() -> "Host":
        """Return the host of this process."""
        return _host_of(os.getpid())

    def claim(self) -> dict[str, Any]:
        """Return what a claim records of its host; the boot id is part of the start of its process."""
        return {"host": self.name, "namespace": self.namespace or None, "machine": self.machine or None}

    def sees(self, claim: Mapping[str, Any]) -> Sight:
        """Return where a claim was made. Claims of older versions hold only the name of their host.

        After a new start, the machine's id and name identify it, but not in containers: images share ids.
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
    """Return the host of this process; its number is the key of the cache, because a fork can change the namespace."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    machine = _read("/etc/machine-id")  # a secret of the machine, so only its digest is used
    digest = sha256(f"asrnn-bench {machine}".encode()).hexdigest()[:16] if machine else ""
    return Host(platform.node(), boot_id(), namespace, digest)


@cache
def boot_id() -> str:
    """Return the identifier of this start of the machine; empty if Linux has none."""
    return _read("/proc/sys/kernel/random/boot_id")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def start_of(pid: int) -> str | None:
    """Return the start of a process, which differs for processes of the same number; ``None`` if there is no process.

    The time counts from the start of the machine, so that setting the clock does not change it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if not boot_id() or fields[0] == "Z" else f"{boot_id()} {fields[19]}"
