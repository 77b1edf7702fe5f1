"""From the tensors of the authors' files to those of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

# Heads for smaller pictures, and the running statistics of a normalisation that uses the face's own.
_UNUSED = ("to_rgbs.0.", "to_rgbs.1.", "to_rgbs.2.")


def used(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that take part in restoring."""
    # `lipspade` inherits the layer that an encoder stands in for.
    unused = (*_UNUSED, "fc.") if any(name.startswith("lip_encoder.") for name in tensors) else _UNUSED
    return {
        name: value
        for name, value in tensors.items()
        if not name.startswith(unused) and ".param_free_norm." not in name
    }


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Divides weights that were trained under spectral normalisation by their largest singular value, once.

    PyTorch keeps such a weight as ``weight_orig`` with estimates ``weight_u`` and ``weight_v`` of its singular vectors.
    In training mode, in which the authors run the network, every call improves the estimates by one step of the power
    method before it uses them; this is the first such step. Where training has converged the steps after it, and the
    stored estimates themselves, give the same.
    """
    plain = {name: value for name, value in tensors.items() if not name.endswith(("_orig", "_u", "_v"))}
    for name, weight in tensors.items():
        if name.endswith(".weight_orig"):
            stem = name.removesuffix("_orig")
            plain[stem] = weight / _largest_singular_value(weight.flatten(1), tensors[f"{stem}_u"])
    return plain


def _largest_singular_value(matrix: Tensor, left: Tensor) -> Tensor:
    """Estimated from an estimate of the left singular vector."""
    right = F.normalize(matrix.T @ left, dim=0)
    image = matrix @ right
    return F.normalize(image, dim=0) @ image


def unified(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Calls the encoder of the authors' ``hifacegan`` by the names it has in their ``lipspade``."""
    return {_encoder_name(name.split(".")): value for name, value in tensors.items()}


def _encoder_name(parts: Sequence[str]) -> str:
    if parts[0] != "encoder":
        return ".".join(parts)
    stage, layer = parts[1].removeprefix("encoder_"), int(parts[2])
    position = layer if stage == "head" else 3 + 4 * int(stage) + layer
    return ".".join(("lip_encoder.model", str(position), *parts[3:]))
