import pytest

from asrnn.errors import UnknownNameError
from asrnn_data.digests import compute_digest
from asrnn_data.image_sets import IMAGE_SETS
from asrnn_data.protocol import ASSETS, KINDS, find_asset


@pytest.mark.parametrize("name", ASSETS)
def test_the_pinned_digest_is_that_of_the_value(name):
    assert compute_digest(name) == ASSETS[name].digest


def test_assets_are_distinct_and_of_known_kinds():
    assert {asset.kind for asset in ASSETS.values()} == set(KINDS)
    digests = {(asset.digest, IMAGE_SETS[name].split if name in IMAGE_SETS else "") for name, asset in ASSETS.items()}
    assert len(digests) == len(ASSETS)  # the 5,000 images are split in two ways
    assert all(name == asset.name and asset.meaning for name, asset in ASSETS.items())


def test_image_sets_name_assets_of_the_right_kind():
    for name, images in IMAGE_SETS.items():
        assert find_asset(name, "images")
        assert find_asset(images.split, "split")
        assert find_asset(images.scaling, "scaling")


def test_unknown_assets_are_named_by_kind():
    with pytest.raises(UnknownNameError, match="unknown protocol asset 'per-sample'; did you mean 'per-sample-v1'"):
        find_asset("per-sample")
    with pytest.raises(UnknownNameError, match="unknown noise 'unit'"):
        find_asset("unit", kind="noise")
