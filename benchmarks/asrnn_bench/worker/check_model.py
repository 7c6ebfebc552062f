"""Check a model against the contract before a run: ``python -m asrnn_bench.worker.check_model REQUEST ANSWER``.

REQUEST is JSON: the ``source`` of a model, and a list of ``settings`` with its hyper-parameters and sizes. ANSWER is a
file, which gets a list with an entry for each setting: ``null`` if the model keeps the contract, or else the line that
says why not.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from asrnn.contract import HARD, INPUT_SIZE, ModelUnderTest, run_checks
from asrnn.errors import AsrnnError
from asrnn.registry import ModelSource
from asrnn_bench.files.writing import replace
from asrnn_bench.jobs.handover import WORKER_VARIABLE, end_with_parent


def main(words: list[str]) -> int:
    """Check one model with each of its settings, and write the answer."""
    end_with_parent()
    request, answer = json.loads(words[0]), Path(words[1])
    os.environ[WORKER_VARIABLE] = "admission"
    source = ModelSource(**request["source"])
    refusals: list[str | None] = []
    for setting in request["settings"]:
        refusals.append(_refusal(source, **setting))
        replace(
            answer, json.dumps(refusals, allow_nan=False), durable=False
        )  # the answer so far, in case the next check never ends
    return 0


def _refusal(source: ModelSource, hyper: dict[str, Any], hidden_size: int | None, input_size: int | None) -> str | None:
    """Check as a job would train: on a GPU if there is one, and with the sizes of the job."""
    try:
        subject = ModelUnderTest(source, hyper, input_size=input_size or INPUT_SIZE, hidden_size=hidden_size)
        refusing = (finding for finding in run_checks(subject, HARD) if finding.refuses)
        first = next(refusing, None)  # a run needs only the first one
    except AsrnnError as error:
        return str(error)
    return None if first is None else f"{first.name}: {first.words}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
