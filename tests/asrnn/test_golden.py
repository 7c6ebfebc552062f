"""Test that twenty steps of training of each cell, in float64, give the stored losses.

A refactoring that changes a loss has changed the model. Where a change is meant, raise the cell's ``version``
and write the curves anew, from the repository's root::

    PYTHONPATH=. python tests/asrnn/test_golden.py [MODEL ...]

Weights, inputs, and the permutations and orthogonal matrices that cells keep as buffers come from numpy's
``RandomState``, whose streams are frozen, so that the curves depend on neither torch's generator nor the
initialisation.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from asrnn import build_model, model_sources

GOLDEN = Path(__file__).with_name("golden")
NAMES = [source.name for source in model_sources() if source.origin == "built-in"]
B, T, I, H, C = 8, 15, 3, 10, 5  # noqa: E741 - the axes are called so
# Units with modReLU jump where their argument passes 0. At 0.1 the curves of these cells are chaotic: 20 steps enlarge
# a rounding 10^7 times.
RATES = dict.fromkeys(("exprnn", "fc-urnn", "kru", "scornn", "urnn"), 0.003)


def like(buffer: torch.Tensor, random: np.random.RandomState) -> np.ndarray:
    """A permutation for integers, orthonormal columns for such a matrix, a unitary matrix for its two parts.

    Any other buffer is a constant of the cell.
    """
    if not buffer.is_floating_point():
        return random.permutation(len(buffer))
    if buffer.ndim == 3 and buffer.shape[2] == 2:
        return unitary(len(buffer), random)
    columns = buffer.double().numpy()
    if buffer.ndim == 2 and np.allclose(columns.T @ columns, np.eye(columns.shape[1]), atol=1e-4):  # made in float32
        return np.linalg.qr(random.standard_normal(tuple(buffer.shape)))[0]
    return buffer.numpy()


def unitary(size: int, random: np.random.RandomState) -> np.ndarray:
    Q = np.linalg.qr(random.standard_normal((size, size, 2)) @ [1, 1j])[0]
    return np.stack((Q.real, Q.imag), axis=-1)


def curve(name: str, disturbance: float = 0.0) -> list[float]:
    """The losses of a training whose first weights are multiplied by 1 + ``disturbance`` times normal numbers."""
    random = np.random.RandomState(2019)
    model = build_model(name, input_size=I, hidden_size=H, num_outputs=C).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(0.3 * random.standard_normal(tuple(parameter.shape))))
        for buffer in model.buffers():
            buffer.copy_(torch.from_numpy(like(buffer, random)))
    if hasattr(model.recurrence, "epsilon"):
        model.recurrence.epsilon = 0.2
    x = torch.from_numpy(random.standard_normal((B, T, I)))
    labels = torch.from_numpy(random.randint(0, C, size=B))
    if disturbance:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(torch.from_numpy(1 + disturbance * random.standard_normal(tuple(parameter.shape))))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATES.get(name, 0.1), momentum=0.9)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", NAMES)
def test_losses_equal_the_stored_ones(name: str) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    # Another processor or torch may sum in another order: 1e-16 a sum, which 20 steps do not amplify to 1e-9, as the
    # test below makes sure.
    assert curve(name) == pytest.approx(golden, rel=1e-9, abs=0)
    assert golden[-1] < golden[0]  # it learns


@pytest.mark.parametrize("name", NAMES)
def test_a_rounding_error_does_not_change_a_curve(name: str) -> None:
    """A curve that amplifies a disturbance 1,000 times could differ by 1e-9 on another processor."""
    assert curve(name, 1e-12) == pytest.approx(json.loads((GOLDEN / f"{name}.json").read_text()), rel=1e-9, abs=0)


def test_every_stored_curve_belongs_to_a_cell() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(NAMES)


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        (GOLDEN / f"{each}.json").write_text(json.dumps(curve(each), indent=1) + "\n")
