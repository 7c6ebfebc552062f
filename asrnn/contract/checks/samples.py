"""Check that an output depends on its own sample only: on no other sample, earlier call, or place in the batch."""

import gc
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from asrnn.contract.check import TOLERANCE, check
from asrnn.contract.model_under_test import ModelUnderTest
from asrnn.contract.randomness import seeded
from asrnn.contract.report import Verdict, failed, passed
from asrnn.contract.running import gradients_of, largest_change, run, trained_parameters
from asrnn.models import RecurrentModel

BATCHES = ((2, 5), (2, 1), (2, 31), (1, 5), (65, 5), (2, 5), (3, 130), (2, 5))
"""B and T of calls in sequence. Each call with [2, 5] must give the outputs of the first one."""

BATCH_SIZE, STEPS = 256, 6
"""A batch as large as those of jobs, so that a fault of large batches shows."""

CALLS = 6

SUBSETS = (slice(0, 1), slice(-1, None), slice(0, 3), slice(5, 21), slice(0, 64), slice(0, 255))


@check("variable-length", "hard", needs=("builds", "shapes", "deterministic"))
@torch.no_grad()
def variable_length(subject: ModelUnderTest) -> Verdict:
    """One instance takes batches of any size and length, and a call leaves no trace."""
    model = subject.build()
    first, *later = (run(model, subject.sequences(B, T)).outputs.clone() for B, T in BATCHES)
    for number, (sizes, outputs) in enumerate(zip(BATCHES[1:], later, strict=True), 1):
        if sizes != BATCHES[0]:
            continue
        change = largest_change(outputs, first)
        if change > TOLERANCE:
            (B, T), (other_B, other_T) = BATCHES[0], BATCHES[number - 1]
            return failed(
                f"the outputs at B={B}, T={T} differ by {change:.2g} times the largest after a call at B={other_B}, "
                f"T={other_T}",
                "keep nothing that depends on the sizes from one call to the next",
            )
    return passed(f"{len(BATCHES)} calls of one instance, B up to 65 and T up to 130")


@check("no-carry", "hard", needs=("builds", "deterministic", "same-training"))
def no_carry(subject: ModelUnderTest) -> Verdict:
    """No batch leaves anything behind for the next."""
    x = subject.sequences(16, 20)
    for mode in ("training", "evaluation"):
        after = [_outputs_after(subject, x, earlier, mode) for earlier in (None, 2, 3)]
        change = largest_change(after[2], after[1])
        if (
            mode == "evaluation"
        ):  # in training the number of calls may matter, as for a norm that is computed iteratively
            change = max(change, largest_change(after[1], after[0]))
        if change > TOLERANCE:
            return failed(
                f"in {mode}, the outputs of a batch differ by {change:.2g} times the largest after another batch",
                "start every call anew: keep no state, and no result of an earlier batch, in the module, its class or "
                "a global",
            )
    return passed("outputs of a batch are the same after any other one, in training and in evaluation")


def _outputs_after(subject: ModelUnderTest, x: Tensor, earlier: int | None, mode: str) -> Tensor:
    """Return the outputs for a batch of a model that has seen one other batch, in the same memory, or none."""
    model = subject.build().train(mode == "training")
    parameters = list(trained_parameters(model).values())
    batch = x.clone()
    if earlier is not None:
        batch.copy_(subject.sequences(*x.shape[:2], seed=earlier))
        with seeded(1):
            outputs = run(model, batch).outputs
            if mode == "training":
                gradients_of(outputs.square().sum(), parameters)
        batch.copy_(x)
    with seeded(2), torch.set_grad_enabled(mode == "training"):
        outputs = run(model, batch).outputs
        if mode == "training":
            gradients_of(outputs.square().sum(), parameters)
    return outputs.detach().clone()


@check("no-hoard", "hard", needs=("builds", "no-carry"))
def no_hoard(subject: ModelUnderTest) -> Verdict:
    """Calls do not pile up tensors."""
    model, x = subject.build().train(), subject.sequences(8, 20)
    parameters = list(trained_parameters(model).values())
    counts = []
    for calls in (2, CALLS):
        for seed in range(calls):
            with seeded(seed):
                gradients_of(run(model, x).outputs.square().sum(), parameters)
        gc.collect()
        counts.append(sum(issubclass(type(each), Tensor) for each in gc.get_objects()))
    more = counts[1] - counts[0]
    if more >= CALLS:
        return failed(
            f"after {CALLS} more calls there are {more} more tensors",
            "keep no tensors of a call in a list: their memory, and that of their graphs, grows with every step",
        )
    return passed(f"no more tensors after {CALLS} more calls")


@check("batch-independence", "hard", needs=("builds", "shapes", "deterministic", "same-training"))
@torch.no_grad()
def batch_independence(subject: ModelUnderTest) -> Verdict:
    """A sample's outputs do not depend on the other samples."""
    model, x = subject.build(), subject.sequences(BATCH_SIZE, STEPS)
    expected = run(model, x).outputs.clone()
    change = _mixing(subject, x, model)
    if change > TOLERANCE:
        return failed(
            f"the outputs of a sample change by {change:.2g} times the largest when the other samples do",
            "take no mean, norm or sum over the batch axis; that axis is the first, [B, T, I]",
        )
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1)).to(x.device)
    moved = largest_change(run(model, x[order]).outputs, expected[order])
    if moved > TOLERANCE:
        return failed(
            f"the outputs of a sample change by {moved:.2g} times the largest at another place in the batch",
            "let nothing depend on the place in the batch; that axis is the first, [B, T, I]",
        )
    for subset in SUBSETS:
        some = x[subset]
        alone = largest_change(run(model, some).outputs, expected[subset])
        if alone > TOLERANCE:
            others = "it comes alone" if len(some) == 1 else f"only {len(some)} samples come"
            return failed(
                f"the outputs of a sample change by {alone:.2g} times the largest when {others}",
                "let nothing depend on the size of the batch",
            )
        change = max(change, alone)
    mixing, lawful = subject.once(mixing_in_training)
    if mixing > TOLERANCE and not lawful:
        return failed(
            f"in training, the outputs of a sample change by {mixing:.2g} times the largest when the other samples do",
            "take no mean, norm or sum over the batch axis in training either; torch.nn.BatchNorm1d may",
        )
    return passed(f"B up to {BATCH_SIZE}; largest change {max(change, moved):.1g}")


@check("batch-statistics", "warning", needs=("builds", "batch-independence"))
def batch_statistics(subject: ModelUnderTest) -> Verdict:
    """Nor do they in training, by batch norm."""
    mixing, lawful = subject.once(mixing_in_training)
    if mixing > TOLERANCE:
        return failed(
            f"it normalises over the batch in training ({lawful}): a sample's outputs change by {mixing:.2g} times the "
            "largest when the other samples do",
            "nothing is wrong with that, but the size of the batch is then a part of the model",
        )
    return passed(f"largest change {mixing:.1g}")


@torch.no_grad()
def mixing_in_training(subject: ModelUnderTest) -> tuple[float, str]:
    """Return how much samples change each other in training, and the batch statistics that would allow it."""
    x = subject.sequences(BATCH_SIZE - 1, STEPS)
    mixing = _mixing(subject, x)
    if mixing <= TOLERANCE:
        return mixing, ""
    if _mixing(subject, x, without_batch_norm=True) <= TOLERANCE:
        return mixing, "batch norm"
    statistics = statistics_of_batches(subject, x)
    if not statistics:
        return mixing, ""
    reordered = x.clone()
    reordered[1:] = x[1:].flip(0)
    outputs = []
    for batch in (x, reordered):
        with seeded(7):
            outputs.append(run(subject.build().train(), batch).outputs[:1])
    symmetric = largest_change(*outputs) <= TOLERANCE
    return mixing, f"{statistics[0]} keeps statistics of batches" if symmetric else ""


@torch.no_grad()
def statistics_of_batches(subject: ModelUnderTest, x: Tensor) -> list[str]:
    """Return the buffers that a call in training changes, to different numbers for different batches.

    A counter of calls changes too, but it is no statistic of a batch.
    """
    after = []
    for batch in (x, subject.sequences(*x.shape[:2], seed=2)):
        model = subject.build().train()
        before = {name: buffer.clone() for name, buffer in model.recurrence.named_buffers()}
        with seeded(7):
            run(model, batch)
        after.append(dict(model.recurrence.named_buffers()))
    one, other = after
    return [
        name
        for name in before
        if name in one
        and name in other
        and not torch.equal(before[name], one[name])
        and not torch.equal(one[name], other[name])
    ]


def _mixing(
    subject: ModelUnderTest, x: Tensor, model: RecurrentModel | None = None, *, without_batch_norm: bool = False
) -> float:
    """Return the largest change of a sample's outputs when other samples change; each other sample changes once.

    Without a model the check is about training: each run builds a new model from the same seeds.
    """

    def outputs(batch: Tensor) -> Tensor:
        if model is not None:
            return run(model, batch).outputs
        fresh = subject.build().train()
        for module in fresh.modules():
            if without_batch_norm and isinstance(module, _BatchNorm):
                module.eval()
        with seeded(7):
            return run(fresh, batch).outputs.clone()

    others = subject.sequences(*x.shape[:2], seed=2)
    expected = outputs(x).clone()
    worst = 0.0
    for kept in _halves(len(x)):
        kept = kept.to(x.device)
        found = outputs(torch.where(kept[:, None, None], x, others))
        worst = max(worst, largest_change(found[kept], expected[kept]))
        if worst > TOLERANCE:
            break
    return worst


def _halves(size: int) -> Iterator[Tensor]:
    """Yield halves of a batch as masks, so that of any two samples each is kept once while the other changes.

    The indices of two samples differ in some binary digit, and each digit divides the batch into two halves.
    """
    numbers = torch.arange(size)
    for digit in range((size - 1).bit_length()):
        of_digit = (numbers >> digit) % 2 == 1
        yield of_digit
        yield ~of_digit
