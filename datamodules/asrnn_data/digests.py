"""Compute the digests of protocol assets from their values."""

import hashlib
import json

from asrnn_data.image_sets import IMAGE_SETS
from asrnn_data.noise import noise_sample
from asrnn_data.permutations import make_permutation
from asrnn_data.protocol import find_asset
from asrnn_data.splits import split_indices
from asrnn_data.transforms import SCALINGS


def compute_digest(name: str) -> str:
    """Compute an asset's value and return its sha256.

    The digest covers little-endian int64 for permutations and splits, a pinned sample in little-endian float32 for
    noise, canonical JSON of the constants for scalings, and the list of the files' digests for images.

    Raises:
        UnknownNameError: there is no such asset.
    """
    kind = find_asset(name).kind
    if kind == "images":
        return IMAGE_SETS[name].digest()
    if kind == "permutation":
        value = make_permutation(name).astype("<i8").tobytes()
    elif kind == "split":
        value = split_indices(name).astype("<i8").tobytes()
    elif kind == "noise":
        value = noise_sample(name).numpy().astype("<f4").tobytes()
    else:
        value = json.dumps(SCALINGS[name].constants(), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return hashlib.sha256(value).hexdigest()
