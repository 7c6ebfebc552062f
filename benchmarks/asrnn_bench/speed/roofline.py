"""Count the operations of a recurrence's matrix products, for the roofline: the time of these products alone."""

from asrnn_bench.speed.sizes import Size

SQUARE = 4096
"""The side of the square matrices whose float32 product measures the machine's rate of operations."""

INPUT_PROJECTIONS = {
    "antisymmetric": 1,
    "antisymmetric-gated": 2,
    "exprnn": 1,
    "fastrnn": 1,
    "feedback": 1,
    "rnn": 1,
    "scornn": 1,
    "unstructured-gated": 2,
    "nn.RNN": 1,
    "jax.AntisymmetricRNN": 1,
    "torchrecurrent.AntisymmetricRNN": 1,
    "torchrecurrent.GatedAntisymmetricRNN": 2,
}
"""The number of input projections, g, of each recurrence that multiplies its state by one square matrix per step.

The roofline is not defined for other recurrences, such as the LSTM with its four matrices.
"""


def training_operations(model: str, size: Size) -> int | None:
    """Count the floating-point operations of the products in one training step, 6 B T H^2 + 4 B T I H g.

    Each time step has three products with the H x H matrix: forward, backward, and for the gradient of the matrix. It
    has two with the H x I matrices, because the input needs no gradient. A product has 2 operations per matrix entry.

    Args:
        model: the contender's name.
        size: B, T, I and H.

    Returns:
        the count, or ``None`` for a recurrence without a roofline.
    """
    projections = INPUT_PROJECTIONS.get(model.partition("@")[0])
    if projections is None:
        return None
    steps = size.batch_size * size.num_steps
    return 6 * steps * size.hidden_size**2 + 4 * steps * size.input_size * size.hidden_size * projections


def product_operations(side: int = SQUARE) -> int:
    """Count the floating-point operations of one product of two square matrices."""
    return 2 * side**3
