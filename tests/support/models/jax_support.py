"""Run functions that use JAX in separate processes, because a process with JAX's threads may hang after a fork."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

from asrnn_bench.speed import jax_peers
from asrnn_bench.speed.sizes import Size

Arrays = dict[str, np.ndarray]


def elsewhere(function: Any, *arguments: Any) -> Any:
    """Call a function of this module in a new process, and return its result."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def loss_and_gradients(cell: str, values: Arrays, x: np.ndarray, y: np.ndarray) -> tuple[float, Arrays]:
    import jax

    found, grads = jax.value_and_grad(lambda parameters: jax_peers.loss(cell, parameters, x, y))(values)
    return float(found), {name: np.asarray(grad) for name, grad in grads.items()}


def changes_of_a_step(cell: str, size: Size, num_classes: int, x: np.ndarray, y: np.ndarray) -> Arrays:
    step = jax_peers.JaxStep(cell, size, num_classes, threads=1)
    before = {name: np.asarray(value) for name, value in step.parameters.items()}
    step(x, y)
    return {name: np.abs(np.asarray(value) - before[name]) for name, value in step.parameters.items()}
