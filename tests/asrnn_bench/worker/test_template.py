"""A worker that is forked leaves to the template what libraries registered there for its end."""

import subprocess
import sys

PROGRAM = """
import atexit, os, sys, weakref
from asrnn_bench.worker.template import _forget_exit_handlers

class Thing:
    pass

thing = Thing()
atexit.register(print, "registered before the fork", flush=True)
weakref.finalize(thing, print, "finalised before the fork", flush=True)
sys.stdout.flush()
if os.fork() == 0:
    _forget_exit_handlers()
    other = Thing()
    atexit.register(print, "registered in the child", flush=True)
    weakref.finalize(other, print, "finalised in the child", flush=True)
    sys.exit(3)
_, status = os.wait()
print(os.waitstatus_to_exitcode(status), flush=True)
"""


def test_a_forked_worker_runs_its_own_exit_handlers_and_no_others() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    child, _, template = said.partition("3\n")
    assert sorted(child.splitlines()) == ["finalised in the child", "registered in the child"]
    assert sorted(template.splitlines()) == ["finalised before the fork", "registered before the fork"]
