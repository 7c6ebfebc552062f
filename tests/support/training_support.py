"""Make the small data sets, trainers and classifiers on which the LightningModule is tested."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from asrnn import SequenceClassifier, build_model

C = 3
QUIET = [
    # Lightning advises loader processes; these data sets are of a few kilobytes.
    pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*`val_dataloader`. Skipping val loop:UserWarning"),  # meant here
    pytest.mark.filterwarnings("ignore:GPU available but not used:UserWarning"),
    # Lightning 2.6 asks torch 2.14 for a leaf in a way that torch means to drop.
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
]


def loader(num_samples: int, batch_size: int, seed: int = 0, shuffle: bool = False) -> DataLoader:
    """Sequences whose class is the channel that fires at one of the first steps."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, C, (num_samples,), generator=generator)
    x = 0.1 * torch.randn(num_samples, 8, C, generator=generator)
    x[torch.arange(num_samples), torch.randint(0, 4, (num_samples,), generator=generator), labels] += 2
    return DataLoader(TensorDataset(x, labels), batch_size=batch_size, shuffle=shuffle)


def trainer(**options) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


def classifier(seed: int = 0, **options) -> SequenceClassifier:
    model = build_model("antisymmetric", input_size=C, hidden_size=16, num_outputs=C, seed=seed, epsilon=0.1)
    return SequenceClassifier(model, num_classes=C, **options)
