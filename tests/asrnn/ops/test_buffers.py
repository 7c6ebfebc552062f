"""Buffers return to the pool after a backward pass or with a dropped graph, and the pool stays bounded."""

import gc

import pytest
import torch
from scan_support import random_run, run

from asrnn.ops import buffers, free_buffers

pytestmark = pytest.mark.usefixtures("nan_memory", "backend")


def test_buffers_are_given_back_and_reused(cell, backend: str) -> None:
    free_buffers()
    x, state = random_run(cell, 17, 400)
    for _ in range(20):
        run(cell, x, state)
    free = list(buffers._pool._free)
    # The buffers of each tile: u, the states, the gradient of the sequence, the input, product_grad with a gate, and
    # the first states of the chunks for a replay.
    kinds = 4 + cell.recurrence().has_product_grad() + (backend == "compiled")
    # Tiles that happen to run one after the other share buffers.
    assert kinds - 1 <= len(free) <= torch.get_num_threads() * kinds
    assert buffers._pool._used == 0
    graph = cell.scan(x, state)
    leased = len(buffers._pool._free)
    del graph  # without a backward pass
    gc.collect()
    assert len(buffers._pool._free) > leased
    assert len(buffers._pool._free) == len(free)
    free_buffers()
    assert not buffers._pool._free


def test_the_pool_keeps_no_more_than_was_in_use_at_once(cell) -> None:
    free_buffers()
    for num_steps in range(100, 1000, 100):
        run(cell, *random_run(cell, 17, num_steps))
    width = 32 if cell.scan_backend == "compiled" else 21
    most = 17 * 1000 * width * 4 * (1 + cell.recurrence().num_inputs) * 2
    assert sum(buffer.nbytes for buffer in buffers._pool._free) < most
