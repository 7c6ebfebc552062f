"""Exchange values between the ranks of a job; with one process, each function costs nothing."""

import io
from typing import Any

import torch
from torch import distributed


def together() -> bool:
    """Return whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gather(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the states of all ranks in their order; only tensors and plain values, as no pickle is read."""
    if not together():
        return [state]
    buffer = io.BytesIO()
    torch.save(state, buffer)
    own = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8).to(_device())
    sizes = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, torch.tensor([len(own)], device=own.device))
    longest = int(max(sizes))
    padded = torch.cat([own, own.new_zeros(longest - len(own))])
    everybody = [torch.empty_like(padded) for _ in sizes]
    distributed.all_gather(everybody, padded)
    texts = [whole[: int(size)].cpu().numpy().tobytes() for whole, size in zip(everybody, sizes, strict=True)]
    return [torch.load(io.BytesIO(text), weights_only=True) for text in texts]


def own(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the state of this rank from :func:`gather`; the first state if there were fewer ranks then."""
    rank = distributed.get_rank() if together() else 0
    return states[rank] if rank < len(states) else states[0]


def _device() -> torch.device:
    return (
        torch.device("cuda", torch.cuda.current_device())
        if distributed.get_backend() == "nccl"
        else torch.device("cpu")
    )
