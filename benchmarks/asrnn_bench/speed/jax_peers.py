"""Implement the AntisymmetricRNN and the LSTM in JAX, as peers: ``lax.scan``, compiled by XLA."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrnn_bench.speed.sizes import Size

Floats = NDArray[np.float32]
Parameters = dict[str, Any]

EPSILON = GAMMA = 0.01
"""The defaults of the cell ``antisymmetric``."""


def keep_to_cores(threads: int) -> None:
    """Restrict this process to ``threads`` cores. XLA starts one thread for each core that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def antisymmetric(parameters: Parameters, x: Any) -> Any:
    """Return the last state ``[B, H]`` of h_t = h_{t-1} + epsilon tanh((U - U^T - gamma I) h_{t-1} + V x_t + b).

    Args:
        parameters: ``weight_hh``, the entries of the upper triangular U row by row; ``weight_ih``, V ``[H, I]``; and
            ``bias``, b ``[H]``.
        x: the input, ``[T, B, I]``.
    """
    import jax
    from jax import numpy as jnp

    size = len(parameters["bias"])
    upper = jnp.zeros((size, size), x.dtype).at[np.triu_indices(size, 1)].set(parameters["weight_hh"])
    weight = upper - upper.T - GAMMA * jnp.eye(size, dtype=x.dtype)
    projected = x @ parameters["weight_ih"].T + parameters["bias"]

    def step(h: Any, u: Any) -> tuple[Any, None]:
        return h + EPSILON * jnp.tanh(h @ weight.T + u), None

    return jax.lax.scan(step, jnp.zeros((x.shape[1], size), x.dtype), projected)[0]


def lstm(parameters: Parameters, x: Any) -> Any:
    """Return the last state ``[B, H]`` of an LSTM, with the weights and gate order of ``torch.nn.LSTM``."""
    import jax
    from jax import numpy as jnp

    projected = x @ parameters["weight_ih"].T + parameters["bias_ih"] + parameters["bias_hh"]

    def step(state: tuple[Any, Any], u: Any) -> tuple[tuple[Any, Any], None]:
        h, c = state
        i, f, g, o = jnp.split(h @ parameters["weight_hh"].T + u, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = jnp.zeros((x.shape[1], parameters["weight_hh"].shape[1]), x.dtype)
    return jax.lax.scan(step, (start, start), projected)[0][0]


CELLS: dict[str, Callable[[Parameters, Any], Any]] = {"antisymmetric": antisymmetric, "lstm": lstm}


def loss(cell: str, parameters: Parameters, x: Any, y: Any) -> Any:
    """Return the mean cross entropy of a linear readout of the last state, for inputs ``[T, B, I]`` and labels."""
    import jax
    from jax import numpy as jnp

    logits = CELLS[cell](parameters, x) @ parameters["readout_weight"].T + parameters["readout_bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()


def draw(cell: str, size: Size, num_classes: int) -> dict[str, Floats]:
    """Return random parameters, uniform in [-1 / sqrt(H), 1 / sqrt(H)]. Their values do not affect the time."""
    hidden, inputs = size.hidden_size, size.input_size
    gates = {"antisymmetric": 1, "lstm": 4}[cell]
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates * hidden, inputs)}
    shapes |= {"readout_weight": (num_classes, hidden), "readout_bias": (num_classes,)}
    if cell == "lstm":
        shapes |= {"weight_hh": (4 * hidden, hidden), "bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}
    else:
        shapes |= {"weight_hh": (hidden * (hidden - 1) // 2,), "bias": (hidden,)}
    generator, bound = np.random.default_rng(0), hidden**-0.5
    return {name: generator.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


class JaxStep:
    """One training step as one program: forward, cross entropy on the last state, backward, Adam.

    Args:
        cell: ``antisymmetric`` or ``lstm``.
        size: B, T, I and H.
        num_classes: C.
        threads: the number of cores to which the process is restricted.
    """

    def __init__(self, cell: str, size: Size, num_classes: int, threads: int) -> None:
        keep_to_cores(threads)
        import jax
        from jax import numpy as jnp

        jax.config.update("jax_platforms", "cpu")
        self.parameters: Parameters = {
            name: jnp.asarray(value) for name, value in draw(cell, size, num_classes).items()
        }
        zeros = jax.tree.map(jnp.zeros_like, self.parameters)
        self._moments = (zeros, zeros, jnp.zeros(()))

        def train(parameters: Parameters, moments: Any, x: Any, y: Any) -> tuple[Parameters, Any]:
            grads = jax.grad(lambda parameters: loss(cell, parameters, x, y))(parameters)
            first, second, count = moments
            count = count + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            changed = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), parameters, first, second)
            return changed, (first, second, count)

        self._train = jax.jit(train)

    def __call__(self, x: Any, y: Any) -> None:
        """Train on arrays of inputs ``[T, B, I]`` and labels ``[B]``, and wait for the result."""
        import jax

        trained = self._train(self.parameters, self._moments, x, y)
        self.parameters, self._moments = jax.block_until_ready(trained)
