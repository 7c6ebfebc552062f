import os
from collections.abc import Iterator

import pytest
from fault_support import CORE

from asrnn_bench.running.launchers.environment import KEEP_BUFFERS
from asrnn_bench.running.launchers.warm import Template


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """The process that forks the workers of all tests: what it imports takes seconds."""
    found = Template({**KEEP_BUFFERS, **os.environ, **CORE})
    yield found
    found.close()
