"""The roofline: the time that a recurrence's matrix products alone would take."""

from asrnn_bench.speed.sizes import Size

SQUARE = 4096
"""The side of the square matrices whose float32 product says how fast this machine multiplies."""

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
"""The projections of the input, g, of each recurrence that multiplies its state by one square matrix a step.

For others, as the LSTM with its four matrices, this roofline is not defined.
"""


def training_operations(model: str, size: Size) -> int | None:
    """Count the floating-point operations of the products in one training step, 6 B T H^2 + 4 B T I H g.

    At each step the state meets the H x H matrix three times: forward, backward, and for the gradient of the matrix;
    the input meets its H x I matrices twice, as nobody asks for its own gradient. A product is 2 operations an entry.

    Args:
        model: the contender's name.
        size: B, T, I and H.

    Returns:
        the count, or ``None`` for a recurrence that is not one matrix.
    """
    projections = INPUT_PROJECTIONS.get(model.partition("@")[0])
    if projections is None:
        return None
    steps = size.batch_size * size.num_steps
    return 6 * steps * size.hidden_size**2 + 4 * steps * size.input_size * size.hidden_size * projections


def product_operations(side: int = SQUARE) -> int:
    """Count the floating-point operations of one product of two square matrices."""
    return 2 * side**3
