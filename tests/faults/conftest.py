from collections.abc import Iterator

import pytest
from fault_support import CORE, Bench

from asrnn_bench.running.launchers.environment import KEEP_BUFFERS
from asrnn_bench.running.launchers.warm import Template


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    import os

    found = Template({**KEEP_BUFFERS, **os.environ, **CORE})
    yield found
    found.close()


@pytest.fixture
def bench(template: Template) -> Bench:
    return Bench(template)
