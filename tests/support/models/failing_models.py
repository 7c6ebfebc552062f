"""Models that fail in the ways that jobs fail, each in a file of its own that a job carries along."""

HEAD = """
import os
import resource

import torch
from torch import nn


class Failing(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)
        self.calls = 0
        self.started()

    def started(self):
        pass

    def fails(self, y):
        return y

    def forward(self, x):
        self.calls += 1
        y = self.rnn(x)[0]
        return self.fails(y) if self.training and self.calls > 3 else y
"""

STARTED = "\n    def started(self):\n        "
FAILS = "\n    def fails(self, y):\n        "

MODELS = {
    "exits": HEAD + FAILS + "os._exit(0)\n",
    "raises": HEAD + STARTED + 'raise ValueError("no such gate")\n',
    "raises-in-training": HEAD + FAILS + 'raise ValueError("no such gate")\n',
    "imports": "import a_package_that_nobody_has\n" + HEAD,
    "nan": HEAD + FAILS + 'return y * float("nan")\n',
    "infinite": HEAD + FAILS + 'return y * float("inf") + 1e38\n',
    "memory": HEAD + FAILS + "raise MemoryError\n",
    "cuda-memory": HEAD + FAILS + 'raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")\n',
    "address-space": HEAD
    + FAILS
    + "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n        return y + torch.zeros(8 << 30).sum()\n",
    "killed": HEAD + FAILS + "os.kill(os.getpid(), 9)\n",
}
