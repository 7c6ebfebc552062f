import os
import signal
from collections.abc import Iterator

import pytest
from fault_support import CORE

from asrnn_bench.jobs.handover import KEEP_BUFFERS
from asrnn_bench.supervising.forked import Template


def pytest_configure() -> None:
    """Let the tests' runs be interrupted: a shell that puts pytest in the background has it ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """The process that forks the workers of all tests: what it imports takes seconds."""
    found = Template({**KEEP_BUFFERS, **os.environ, **CORE})
    yield found
    found.close()
