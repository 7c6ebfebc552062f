"""Connect to a Ray cluster: join the one at an address, or start one on this machine for the run alone."""

import os
import re
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from asrnn.errors import UsageError

CONNECT_SECONDS = 5.0
OBJECT_STORE_BYTES = 100 * 2**20
"""Only paths are sent; by default Ray takes a third of the memory for its object store."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would pack the working folder with all results
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else the messages of raylets are printed into the table, pages of them
}
IMPATIENT = {
    # By default Ray tries a wrong address for ten minutes before it says so.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_gcs_rpc_server_connect_timeout_s": "3",
    "RAY_py_gcs_connect_timeout_s": "5",
}


def check_ray(address: str | None) -> None:
    """Check that Ray is installed and that a program listens at the address, without importing Ray.

    Raises:
        UsageError: Ray is not installed, or no cluster answers.
    """
    if find_spec("ray") is None:
        raise UsageError('--launcher ray needs Ray: pip install ".[ray]" in the sources')
    if address is None:
        return
    found = re.fullmatch(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", address)
    if found is None:
        raise UsageError(f"--ray-address takes HOST:PORT of a cluster's head, such as node1:6379, not {address!r}")
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address} ({error}); start one there with: ray start --head --port=6379"
        ) from error


@contextmanager
def connected(address: str | None, num_cpus: int, num_gpus: int) -> Iterator[Any]:
    """Yield the module ``ray``, connected; a cluster that was started here is ended at the end.

    Args:
        address: HOST:PORT of a cluster; without one, a cluster is started on this machine.
        num_cpus: the CPUs of a cluster that is started here.
        num_gpus: the GPUs of a cluster that is started here.

    Raises:
        UsageError: Ray is not installed, cannot be reached, or is in use by this process already.
    """
    check_ray(address)
    local = address is None
    with _variables(QUIET | (_own_token() if local else IMPATIENT)):
        ray: Any = import_module("ray")
        if ray.is_initialized():
            raise UsageError("this process is connected to Ray already; call ray.shutdown() before the run")
        settings: dict[str, Any] = {"address": address}
        if local:
            settings = {
                # Neither "auto" nor no address: both follow /tmp/ray/ray_current_cluster, which stays after a crash.
                "address": "local",
                "num_cpus": num_cpus,
                "num_gpus": num_gpus,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
            }
        try:
            _connect(ray, settings)
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, settings: dict[str, Any]) -> None:
    """Connect, and print nothing but one line if that fails."""
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
                signal.signal(signal.SIGTERM, handler)  # Ray sets its own handler


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
    """Return the first line of an error's text, short enough for a table."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


@cache
def _own_token() -> dict[str, str]:
    """Return the variables that keep other users out of a local cluster: Ray listens on the network and runs any code.

    The token is kept in memory: Ray would write one into the home folder, which cannot always be written to.
    All clusters of this process have the same token, because Ray keeps the first one that it reads.
    """
    # Ray reads the mode once, when it is imported.
    mode = {} if "ray" in sys.modules else {"RAY_AUTH_MODE": "token"}
    return mode | ({} if "RAY_AUTH_TOKEN_PATH" in os.environ else {"RAY_AUTH_TOKEN": secrets.token_hex(32)})


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables within a ``with`` block, except those that the user has set."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Redirect the standard error of this process, with what C++ prints, to a file within a ``with`` block."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
