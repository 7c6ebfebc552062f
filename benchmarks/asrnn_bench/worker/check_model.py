"""The process that looks at a model before a run takes it: ``python -m asrnn_bench.worker.check_model``.

It is given a request as JSON and the name of a file for the answer: the ``source`` of a model and a list of
``settings``, its hyper-parameters and sizes, lead to a list with ``null`` for what keeps the contract, and for the rest
the line that says why not.
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
    """Look at one model with each of its settings, and write the answer."""
    end_with_parent()
    request, answer = json.loads(words[0]), Path(words[1])
    os.environ[WORKER_VARIABLE] = "admission"
    source = ModelSource(**request["source"])
    refusals: list[str | None] = []
    for setting in request["settings"]:
        refusals.append(_refusal(source, **setting))
        replace(
            answer, json.dumps(refusals, allow_nan=False), durable=False
        )  # what is known so far, should the next one never end
    return 0


def _refusal(source: ModelSource, hyper: dict[str, Any], hidden_size: int | None, input_size: int | None) -> str | None:
    """Look as a job would train: on a GPU where there is one, and with the job's sizes."""
    try:
        subject = ModelUnderTest(source, hyper, input_size=input_size or INPUT_SIZE, hidden_size=hidden_size)
        refusing = (finding for finding in run_checks(subject, HARD) if finding.refuses)
        first = next(refusing, None)  # a run needs no more: the others are for whoever mends the model
    except AsrnnError as error:
        return str(error)
    return None if first is None else f"{first.name}: {first.words}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
