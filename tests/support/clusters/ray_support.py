"""What the tests of the Ray launcher share: a place without a network, a cluster in it, and what runs there."""

import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from bench_support import COMMAND

INSIDE = "ASRNN_TESTS_IN_NAMESPACE"
ADDRESS = "127.0.0.1:6379"
WAIT_SECONDS = 240.0
"""Longer than anything here takes on a busy machine: who waits so long has failed."""


def isolated(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test by a pytest of its own, where there is no network and whatever it starts ends with it.

    The namespaces have no name: Linux removes them with their last process, and kills that with the first.
    """

    @functools.wraps(test)
    def outer(*arguments: object, **fixtures: object) -> None:
        if INSIDE in os.environ:
            return test(*arguments, **fixtures)
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        words = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-o",
            "addopts=--import-mode=importlib",
            "-q",
        ]
        script = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", *words, node]
        namespace = _namespace_words()
        # A short name: Ray makes sockets below it, whose paths may have 107 characters.
        with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as short:
            environment = {**os.environ, INSIDE: short}
            done = subprocess.run([*namespace, *script], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
        return None

    return outer


@functools.cache
def _namespace_words() -> list[str]:
    """The command that makes the namespaces; the test is skipped where that cannot be done."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install -e .[ray]")
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("there is no unshare or no ip: apt-get install util-linux iproute2")
    words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for tried in (words, [*words[:1], "--user", "--map-root-user", *words[1:]]):
        if subprocess.run([*tried, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0:
            return tried
    pytest.skip("this user may not make a network namespace")


@dataclass(frozen=True)
class Seen:
    """A worker, as the process table shows it."""

    pid: int
    supervisor: int
    raylet: int
    job: Path
    attempt: int
    devices: str | None

    def step(self) -> int:
        """How far its attempt is known to be."""
        from asrnn_bench.jobs.directory import JobDirectory

        said = JobDirectory(self.job).progress()
        return int(said.get("step") or 0) if said.get("attempt") == self.attempt else 0


def workers() -> list[Seen]:
    """The workers that run now, without what a worker is about to become another program with."""
    found = []
    for process in psutil.process_iter():
        try:
            words, variables = process.cmdline(), process.environ()
            if "asrnn_bench.worker" in words:
                attempt = int(variables["ASRNN_BENCH_ATTEMPT"])
                devices = variables.get("CUDA_VISIBLE_DEVICES")
                parent = process.parent()
                raylet = parent.ppid() if parent else 0
                found.append(Seen(process.pid, process.ppid(), raylet, Path(words[-1]), attempt, devices))
        except psutil.Error:
            continue
    known = {each.pid for each in found}
    return [each for each in found if each.supervisor not in known]


def tasks() -> list[psutil.Process]:
    """The Ray processes that have a job in hand."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if "ray::supervise_job" in " ".join(each.info["cmdline"] or [])
    ]


@dataclass(frozen=True)
class RayCluster:
    """Raylets of this machine; each node has a name."""

    environment: Mapping[str, str]

    def add(self, name: str, *words: str, before: Sequence[str] = ()) -> psutil.Process:
        """Add a node, and return its raylet."""
        known = {process.pid for process in _raylets()}
        fixed = ["--object-store-memory=100000000", "--disable-usage-stats"]
        command = [*before, "ray", "start", f"--node-name={name}", *fixed, *words]
        started = subprocess.run(
            command, env=self.environment, check=False, capture_output=True, text=True, timeout=WAIT_SECONDS
        )
        assert started.returncode == 0, started.stdout + started.stderr
        return next(process for process in _raylets() if process.pid not in known)


def _raylets() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.name() == "raylet"]


def ray_cluster(*words: str) -> RayCluster:
    """Start the head of a cluster, which ends with the namespace."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    cluster = RayCluster({**plain_environment(), **token})
    cluster.add("head", "--head", "--port=6379", "--include-dashboard=false", *words)
    return cluster


def plain_environment() -> dict[str, str]:
    """This process's environment without what would show or name devices, nodes or tokens."""
    foreign = ("RAY_", "CUDA_", "ASRNN_", "PYTEST_", "PYTHONWARNINGS")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{plain['PATH']}"
    return plain | {"PATH": path, "RAY_TMPDIR": os.environ[INSIDE], "HOME": os.environ[INSIDE]}


@dataclass(frozen=True)
class Run:
    """A run of the command line that goes on beside the test."""

    process: "subprocess.Popen[str]"
    said: Path

    def end(self) -> str:
        """Wait for its end, and return what it said."""
        self.process.wait(WAIT_SECONDS)
        return self.said.read_text()


def start_run(folder: Path, environment: Mapping[str, str], *words: str) -> Run:
    """Start ``asrnn-bench --launcher ray``."""
    said = folder / f"said-{len(list(folder.glob('said-*')))}.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--suite", "tiny.toml", "--launcher", "ray", *words],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Run(process, said)
