"""Fixtures with the published image sets, if ASRNN_DATA_DIR names their directory."""

import os
from pathlib import Path

import pytest

from asrnn_data.sources import LabelledImages, load_images


@pytest.fixture(scope="session")
def data_dir() -> Path:
    named = os.environ.get("ASRNN_DATA_DIR")
    if not named:
        pytest.skip("ASRNN_DATA_DIR is not set: no published MNIST and CIFAR-10 to test on")
    return Path(named)


@pytest.fixture(scope="session")
def mnist(data_dir: Path) -> dict[str, LabelledImages]:
    return load_images("mnist", data_dir)


@pytest.fixture(scope="session")
def cifar10(data_dir: Path) -> dict[str, LabelledImages]:
    return load_images("cifar10", data_dir)
