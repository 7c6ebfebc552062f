"""Watch the settings of torch that a whole process shares, and that no model may change."""

from dataclasses import astuple, dataclass, fields

import torch


@dataclass(frozen=True, slots=True)
class Settings:
    """The default dtype and device of new tensors, and the gradient mode."""

    default_dtype: torch.dtype
    default_device: torch.device
    grad_enabled: bool

    @classmethod
    def now(cls) -> "Settings":
        """Read the current settings."""
        return cls(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())

    def put_back(self) -> list[str]:
        """Return the settings that have changed since, as ``name: before -> after``, and restore them."""
        now = Settings.now()
        pairs = zip(fields(self), astuple(self), astuple(now), strict=True)
        changed = [f"{field.name}: {before} -> {after}" for field, before, after in pairs if before != after]
        if now.default_dtype != self.default_dtype:
            torch.set_default_dtype(self.default_dtype)
        if now.default_device != self.default_device:
            torch.set_default_device(self.default_device)
        if now.grad_enabled != self.grad_enabled:
            torch.set_grad_enabled(self.grad_enabled)
        return changed
