"""Linear recurrences, compared with Python's own numbers and with autograd through a loop."""

import pytest
import torch
from torch import Tensor

from asrnn.errors import ModelError
from asrnn.ops import linear, linear_recurrence

LENGTHS = (1, 2, 3, 32, 33, 64, 101, 1000)
# float64; products and sums of up to 1000 steps with |a| <= 1, in another order: 1000 roundings of 1e-16 at most.
TOLERANCE = {"rtol": 1e-10, "atol": 1e-11}
K = (2, 3)


@pytest.fixture(params=["halved", "in order"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Solve by halving down to single steps, or in order."""
    monkeypatch.setattr(linear, "_FEW_STEPS", 1)
    monkeypatch.setitem(linear._LARGE_STEP, "cpu", 10**9 if request.param == "halved" else 1)
    return request.param


def operands(shape: tuple[int, ...], num_steps: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(num_steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.complex128)

    a, b, start = draw(*shape), draw(num_steps, *K), draw(*K)
    a = a / a.abs().clamp(min=1.0)  # |a| <= 1, and 1 for many
    parts = (a, b, start) if dtype.is_complex else (a.real, b.real, start.real)
    return tuple(part.clone().requires_grad_() for part in parts)  # type: ignore[return-value]


def by_hand(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Compute the recurrence with Python's own numbers."""
    factors, added, first = a.expand(b.shape).tolist(), b.tolist(), start.tolist()
    states = []
    for t in range(len(b)):
        before = states[-1] if states else first
        states.append([[factors[t][i][j] * before[i][j] + added[t][i][j] for j in range(K[1])] for i in range(K[0])])
    return torch.tensor(states, dtype=b.dtype)


def by_loop(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Compute the recurrence step by step, for autograd."""
    states = []
    for a_t, b_t in zip(a.expand(b.shape).unbind(0), b.unbind(0), strict=True):
        start = a_t * start + b_t
        states.append(start)
    return torch.stack(states)


@pytest.mark.parametrize("num_steps", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("kind", ["each step", "constant", "constant vector"])
def test_values_and_gradients(nan_memory, num_steps: int, dtype: torch.dtype, kind: str) -> None:
    shape = {"each step": (num_steps, *K), "constant": (1, *K), "constant vector": (1, 1, K[1])}[kind]
    found, expected = operands(shape, num_steps, dtype), operands(shape, num_steps, dtype)
    states, states_by_loop = linear_recurrence(*found), by_loop(*expected)
    torch.testing.assert_close(states, by_hand(*expected), **TOLERANCE)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1), dtype=torch.complex128)
    for solution in (states, states_by_loop):
        (solution * weights).sum().real.backward()
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part.grad, other.grad, **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(5, *K), (1, 1, K[1])], ids=str)
def test_gradcheck(nan_memory, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    # torch's defaults for float64: differences of 1e-6, agreement to 1e-5.
    assert torch.autograd.gradcheck(linear_recurrence, operands(shape, 5, dtype))


def test_gradients_that_are_not_needed_are_not_computed() -> None:
    a, b, start = operands((7, *K), 7, torch.float64)
    linear_recurrence(a.detach(), b, start.detach()).sum().backward()
    assert b.grad is not None
    linear_recurrence(a, b.detach(), start.detach()).sum().backward()
    assert a.grad is not None


@pytest.mark.parametrize("num_steps", [12, 101])
def test_outputs_do_not_depend_on_later_inputs(num_steps: int) -> None:
    a, b, start = operands((num_steps, *K), num_steps, torch.float64)
    states = linear_recurrence(a, b, start)
    t = num_steps // 2
    with torch.no_grad():
        changed = b.clone()
        changed[t + 1 :] += 10
        assert torch.equal(linear_recurrence(a, changed, start)[: t + 1], states[: t + 1])
    states[t].sum().backward()
    for grad in (a.grad, b.grad):
        assert not grad[t + 1 :].any()
        assert grad[: t + 1].all()


def test_float32_is_as_good_as_the_loop() -> None:
    a, b, start = (part.detach() for part in operands((1000, *K), 1000, torch.float64))
    a = a.sign()  # so that no state decays
    states = linear_recurrence(a.float(), b.float(), start.float()).double()
    # 1000 sums of up to 60, each rounded up or down at 6e-8: sqrt(1000) * 60 * 6e-8 is 1e-4.
    torch.testing.assert_close(states, by_hand(a, b, start), rtol=0, atol=4e-4)


def test_products_that_underflow() -> None:
    a, b = torch.full((100, *K), 1e-30), torch.ones(100, *K)
    assert torch.equal(linear_recurrence(a, b, b[0]), b)


def test_operands_may_be_views(nan_memory) -> None:
    a, b, start = operands((33, *K), 33, torch.float64)
    expected = linear_recurrence(a, b, start)
    behind = b.detach().transpose(0, 2).contiguous().transpose(0, 2)
    assert torch.equal(linear_recurrence(a, behind, start), expected)
    # The gradient of a sum is an expanded view of one number.
    torch.testing.assert_close(
        torch.autograd.grad(expected.sum(), b, retain_graph=True),
        torch.autograd.grad((expected * torch.ones(K)).sum(), b),
        **TOLERANCE,
    )


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # of torch.func.jvp itself
def test_under_the_transforms_of_torch() -> None:
    a, b, start = (part.detach() for part in operands((9, *K), 9, torch.float64))
    expected = by_loop(a, b, start)
    _, slope = torch.func.jvp(lambda s: linear_recurrence(a, b, s), (start,), (torch.ones_like(start),))
    # d h_t / d h_0 is the product of the factors so far.
    torch.testing.assert_close(slope, a.cumprod(0), **TOLERANCE)
    batched = torch.func.vmap(lambda s: linear_recurrence(a, b, s))(torch.stack([start, start]))
    torch.testing.assert_close(batched, torch.stack([expected, expected]), **TOLERANCE)
    with torch.no_grad(), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(start, torch.ones_like(start))
        tangent = torch.autograd.forward_ad.unpack_dual(linear_recurrence(a, b, dual)).tangent
    torch.testing.assert_close(tangent, slope, **TOLERANCE)


@pytest.mark.parametrize("shared", [False, True])
def test_derivatives_of_derivatives(shared: bool) -> None:
    a, b, start = operands((4, *K), 4, torch.float64)
    inputs = (a[:1] if shared else a).detach().requires_grad_(), b, start
    assert torch.autograd.gradgradcheck(linear_recurrence, inputs)  # torch's defaults for float64


def test_wrong_shapes() -> None:
    b, start = torch.zeros(4, *K), torch.zeros(K)
    for a, other in ((b[:3], start), (b[0], start), (b, start[:1])):
        with pytest.raises(ModelError, match=r"a linear recurrence takes a \[T or 1, ...\], b \[T, ...\]"):
            linear_recurrence(a, b, other)


def test_no_samples() -> None:
    assert linear_recurrence(torch.ones(1, 1), torch.zeros(7, 0), torch.zeros(0)).shape == (7, 0)
