import importlib
import subprocess
import sys

import pytest
import torch

import asrnn_data
from asrnn.errors import UnknownNameError
from asrnn_data.protocol import ASSETS
from asrnn_data.tasks import TASKS, find_task

STEPS = {
    # T and I of each reading of images [C, H, W]; the paper pads to a thousand steps (section 3)
    "pixel": lambda c, h, w: (h * w, c),
    "permuted": lambda c, h, w: (h * w, c),
    "noise-padded": lambda c, h, w: (1_000, c * w),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_states_the_shapes_of_its_sequences(task):
    reading = next(steps for name, steps in STEPS.items() if task.name.startswith(name))
    for name in task.image_sets:
        assert reading(*task.image_set(name).shape) == (task.sequence_length, task.input_size)
    module, kind = task.datamodule.split(":")
    built = getattr(importlib.import_module(module), kind)()
    if "permutation" in task.variants:
        built._permutation = torch.arange(task.sequence_length)
    images = torch.zeros(2, *built.image_set.shape, dtype=torch.uint8)
    made = built.make_sequences(images, "sample/test", torch.arange(2))
    assert made.shape == (2, task.sequence_length, task.input_size)
    assert (task.num_classes, task.metric) == (10, "accuracy")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_task_agrees_with_its_data_module(task):
    module, name = task.datamodule.split(":")
    found = getattr(importlib.import_module(module), name)
    assert found.task is task
    assert found().variants == {setting: assets[0] for setting, assets in task.variants.items()}
    for setting, asset in ((setting, asset) for setting, assets in task.variants.items() for asset in assets):
        assert found(**{setting: asset}).variants[setting] == asset
        assert ASSETS[asset].kind == setting


def test_assets_are_exactly_those_that_a_configuration_uses():
    used = find_task("permuted-mnist").assets("mnist-5k-v1", permutation="lem-5544")
    assert set(used) == {"mnist-5k-v1", "balanced-5k-v1", "unit", "lem-5544"}
    assert used == {name: ASSETS[name].digest for name in used}
    assert set(find_task("noise-padded-cifar10").assets()) == {
        "cifar10",
        "holdout-10-v1",
        "cifar10-channels-v1",
        "per-sample-v1",
    }
    assert set(find_task("pixel-mnist").assets("mnist")) == {"mnist", "holdout-10-v1", "unit"}


def test_the_number_of_test_samples():
    assert find_task("pixel-mnist").num_test("mnist") == 10_000
    assert find_task("pixel-cifar10").num_test() == 10_000
    assert find_task("pixel-cifar10").num_test("cifar10-5k-v1") == 500
    assert find_task("pixel-cifar10").num_test("cifar10-5k-v2") == 1_000


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: find_task("permuted-mnits"),
            "unknown task 'permuted-mnits'; did you mean 'permuted-mnist'?",
        ),
        (lambda: find_task("pixel-mnist").assets("cifar10"), "image set of task pixel-mnist 'cifar10'"),
        (lambda: find_task("pixel-mnist").assets(noise="shared-v1"), "setting of task pixel-mnist 'noise'"),
        (
            lambda: find_task("permuted-mnist").assets(permutation="bit-reversed"),
            "unknown permutation of task permuted-mnist 'bit-reversed'; did you mean 'bit-reversal'?",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(call, words):
    with pytest.raises(UnknownNameError) as raised:
        call()
    assert words in str(raised.value)


def test_planning_imports_no_heavy_package():
    program = (
        "import sys, asrnn_data, asrnn_data.protocol, asrnn_data.tasks\n"
        "for task in asrnn_data.TASKS.values():\n"
        "    task.assets(), asrnn_data.images_present(task.image_sets[1])\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'lightning', 'numpy', 'mlxtend'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_name_can_be_imported():
    assert dir(asrnn_data) == sorted(asrnn_data.__all__)
    for name in set(asrnn_data.__all__) - {"ASSETS", "TASKS"}:
        assert getattr(asrnn_data, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        asrnn_data.nothing  # noqa: B018 - the access is what is tested
