"""A Ray cluster for one run: joined where an address is given, else started on this machine and ended with the run."""

import os
import re
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asrnn.errors import UsageError
from asrnn_bench.launching.slots import find_slots
from asrnn_bench.machine.gpus import named_gpus

CONNECT_SECONDS = 5.0
OBJECT_STORE_BYTES = 100 * 2**20
"""Nothing but paths travels; left to itself, Ray takes a third of the memory for what does."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would pack the working folder, results and all
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else what raylets complain of is printed into the table, pages of it
}
IMPATIENT = {
    # Left to itself, Ray asks at a wrong address for ten minutes before it says so.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_gcs_rpc_server_connect_timeout_s": "3",
    "RAY_py_gcs_connect_timeout_s": "5",
}


@dataclass(frozen=True)
class RayRequest:
    """What a run asks of Ray.

    ``address`` is HOST:PORT of a cluster; without one, a cluster is started on this machine for the run alone.
    ``threads`` are those of a job's process, ``devices`` is the most that the run takes at a time.
    """

    address: str | None = None
    threads: int = 1
    devices: int | None = None
    jobs_per_device: int = 1


def check_ray(request: RayRequest) -> None:
    """See that Ray is installed and that somebody listens at the address, without importing Ray.

    Raises:
        UsageError: one of them is not so.
    """
    if find_spec("ray") is None:
        raise UsageError('--launcher ray needs Ray: pip install ".[ray]" in the sources')
    if request.address is None:
        return
    found = re.fullmatch(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", request.address)
    if found is None:
        raise UsageError(
            f"--ray-address takes HOST:PORT of a cluster's head, such as node1:6379, not {request.address!r}"
        )
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster answers at {request.address} ({error}); start one there with: ray start --head --port=6379"
        ) from error


@contextmanager
def connected(request: RayRequest, devices_per_job: int) -> Iterator[Any]:
    """Yield the module ``ray``, connected; what was started for the run is ended with it.

    Raises:
        UsageError: Ray is not installed, cannot be reached, or is in use by this process already.
    """
    check_ray(request)
    local = request.address is None
    with _variables(QUIET | (_own_token() if local else IMPATIENT)):
        ray: Any = import_module("ray")
        if ray.is_initialized():
            raise UsageError("this process is connected to Ray already; call ray.shutdown() before the run")
        settings = _local_cluster(request, devices_per_job) if local else {"address": request.address}
        try:
            _connect(ray, settings)
            yield ray
        finally:
            ray.shutdown()


def _local_cluster(request: RayRequest, devices_per_job: int) -> dict[str, Any]:
    """Return the cluster to start: as large as the pool of the local launcher would be."""
    slots = find_slots(
        devices=request.devices,
        jobs_per_device=request.jobs_per_device,
        devices_per_job=devices_per_job,
        threads=request.threads,
    )
    gpus = len(named_gpus().names)
    return {
        # Not "auto", nor nothing: both follow /tmp/ray/ray_current_cluster, which stays after a crash.
        "address": "local",
        "num_cpus": len(slots) * request.threads * devices_per_job,
        "num_gpus": min(gpus, request.devices or gpus),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }


def _connect(ray: Any, settings: dict[str, Any]) -> None:
    """Connect, and let nothing be printed but the one line that says why it cannot be done."""
    handler = signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            with _standard_error_to(said.fileno()):
                ray.init(**settings, log_to_driver=False, logging_level="ERROR")
        except Exception as error:
            said.seek(0)
            raise UsageError(_refusal(settings["address"], error, said.read())) from error
        finally:
            if handler is not None and handler is not signal.getsignal(signal.SIGTERM):
                signal.signal(signal.SIGTERM, handler)  # Ray puts its own there


def _refusal(address: str, error: Exception, said: str) -> str:
    if address == "local":
        return f"Ray cannot start a cluster on this machine: {first_line(error)}"
    if "InvalidAuthToken" in said or type(error).__name__ == "AuthenticationError":
        return (
            f"the Ray cluster at {address} wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a copy "
            "of the head's token file"
        )
    return f"cannot join a Ray cluster at {address}: {first_line(error)}; start the run on one of the cluster's nodes"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, in a length that a table bears."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


@cache
def _own_token() -> dict[str, str]:
    """Return what keeps everybody else out of a local cluster: Ray listens on the network, and runs what it is sent.

    A token of its own, in memory alone: Ray would write one into the home folder, which nodes cannot always write to.
    It is one for all clusters of this process: Ray reads the first one and keeps to it.
    """
    # Ray reads the mode once, when it is imported.
    mode = {} if "ray" in sys.modules else {"RAY_AUTH_MODE": "token"}
    return mode | ({} if "RAY_AUTH_TOKEN_PATH" in os.environ else {"RAY_AUTH_TOKEN": secrets.token_hex(32)})


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while, but none that the user has set."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Send this process's standard error elsewhere for a while, also what C++ prints."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
