import os
import time

import pytest

from asrnn_bench.supervising import forked
from asrnn_bench.supervising.forked import Forked, Template


def test_a_forked_worker_that_cannot_be_killed_costs_no_other_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    template = Template({})
    ended: list[str] = []
    monkeypatch.setattr(Template, "read", lambda self: None)
    monkeypatch.setattr(Template, "give_up", lambda self: ended.append("template"))
    monkeypatch.setattr(forked, "kill_tree", lambda pid, *, ended: None)
    monkeypatch.setattr(forked, "WAIT_SECONDS", 0.0)
    worker = Forked(template)
    worker.runs_as(os.getpid())  # a process that is not gone
    worker.end()
    time.sleep(0.01)
    assert worker.poll() is None
    assert not ended
    gone = Forked(template)
    gone.runs_as(2**22 + 1)  # a process that has ended, of which the template says nothing
    gone.end()
    time.sleep(0.01)
    gone.poll()
    assert ended == ["template"]
