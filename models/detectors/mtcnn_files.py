"""The files of MTCNN: facenet-pytorch keeps its three networks in ``pnet.pt``, ``rnet.pt`` and ``onet.pt``.

Any one of the three stands for all of them; the other two are looked for beside it, under the same name with the other
letter. One file with all three, the state dict of facenet-pytorch's own ``MTCNN``, does as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..weights import Weights, WeightsError, read_weights

# Names of tensors by which the three are told apart, and from other networks.
_PARTS = {
    "pnet": frozenset({"prelu3.weight", "conv4_1.weight", "conv4_2.weight"}),
    "rnet": frozenset({"prelu4.weight", "dense5_1.weight", "dense5_2.weight"}),
    "onet": frozenset({"prelu5.weight", "dense6_1.weight", "dense6_2.weight", "dense6_3.weight"}),
}


def mtcnn_tensors(weights: Weights) -> dict[str, Tensor] | None:
    """The tensors of all three networks, those of each behind its name and a dot; ``None`` for another network.

    Raises:
        WeightsError: one of the other two files is missing, unreadable or of another network.
    """
    whole = {f"{part}.{name}" for part, names in _PARTS.items() for name in names}
    if whole <= weights.tensors.keys():
        return weights.tensors
    given = _part_of(weights.tensors)
    if given is None:
        return None
    tensors: dict[str, Tensor] = {}
    for part in _PARTS:
        own = weights.tensors if part == given else _read_beside(weights.path, given, part)
        tensors |= {f"{part}.{name}": value for name, value in own.items()}
    return tensors


def _part_of(tensors: Mapping[str, Tensor]) -> str | None:
    return next((part for part, names in _PARTS.items() if names <= tensors.keys()), None)


def _read_beside(path: Path, given: str, part: str) -> dict[str, Tensor]:
    """The tensors of one of the other two files."""
    place = path.name.lower().rfind(given)
    letter = part[0].upper() if path.name[max(place, 0)].isupper() else part[0]
    other = path.with_name(path.name[:place] + letter + path.name[place + 1 :])
    if place < 0 or not other.is_file():
        raise WeightsError(
            f"{path.name} is one of the three networks of MTCNN. Put the other two beside it: the files must be "
            "called pnet, rnet and onet and end alike (pnet.pt, rnet.pt, onet.pt)."
        )
    tensors = read_weights(other).tensors
    if _part_of(tensors) != part:
        raise WeightsError(f"{other.name}, beside {path.name}, is not the {part} of MTCNN. Get it again.")
    return tensors
