"""Weights for ComfyUI's Load Face Detection Model (MediaPipe) without training, for tests.

``python comfy_mediapipe.py FILE`` writes them in the layout of the published ``mediapipe_face_fp32.safetensors``: both
detectors, the mesh, the blendshapes, the canonical face and the topology, by the names and in the shapes that ComfyUI
reads. Nearly all of them are 0. The near-range detector takes what is redder than blue for skin and sees faces of one
size, the surest in the middle of the reddest patch; the far-range one sees none, and the mesh is the same upright face
in every crop.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from visage.tests import comfy_side

# Side of every face over the longer side of the picture.
FACE_SIDE = 0.4
# Red less blue, in shares of white, at which the detector is half sure.
_REDNESS = 0.2
_SURENESS = 20.0
# The blocks of the near-range detector that keep the size of its map of 16 x 16.
_BLOCKS_OF_16 = range(6, 11)
# The detectors are this sure of a face that their weights do not speak of.
_NEVER = -50.0
# In what the detector sees, and in what the mesh sees: sides in pixels, and that of the crop over that of the box.
_DETECTOR_SIDE, _MESH_SIDE, _CROP_FACTOR = 128, 192, 1.5
# A mean face: points of the mesh (https://github.com/google-ai-edge/mediapipe, face_mesh) in the box of the face, 0..1.
_POINTS = {
    33: (0.24, 0.36),
    133: (0.40, 0.36),
    159: (0.32, 0.34),
    145: (0.32, 0.38),
    362: (0.60, 0.36),
    263: (0.76, 0.36),
    386: (0.68, 0.34),
    374: (0.68, 0.38),
    4: (0.50, 0.58),
    61: (0.34, 0.76),
    291: (0.66, 0.76),
}
# Its oval, from the forehead to the right of the picture and around: an ellipse as large as the box.
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_PARTS = ("left_eye", "right_eye", "left_eyebrow", "right_eyebrow", "lips", "irises", "nose", "tesselation")


def mean_face() -> Tensor:
    """``[478, 3]``: x and y in the box of the face, 0..1, and no depth."""
    points = torch.full((478, 3), 0.5)
    points[:, 2] = 0
    for number, place in _POINTS.items():
        points[number, :2] = torch.tensor(place)
    turn = torch.arange(len(_OVAL)) / len(_OVAL) * 2 * torch.pi
    points[list(_OVAL), :2] = 0.5 + 0.5 * torch.stack([turn.sin(), -turn.cos()], -1)
    return points


def weights() -> dict[str, Tensor]:
    """The whole file. Needs a ComfyUI that can be imported."""
    from comfy_extras.mediapipe.face_landmarker import FaceLandmarker

    near, far = (FaceLandmarker(detector_variant=variant) for variant in ("short", "full"))
    tensors: dict[str, Tensor] = {}
    for prefix, module in {
        "detector_short": near.detector,
        "detector_full": far.detector,
        "mesh": near.mesh,
        "blendshapes": near.blendshapes,
    }.items():
        tensors |= {f"{prefix}.{name}": torch.zeros_like(value) for name, value in module.state_dict().items()}
    _look_for_red(tensors)
    tensors["detector_full.cls_conv.bias"] += _NEVER
    tensors["detector_full.cls_dw.weight"][:, :, 1, 1] = 1
    margin = (1 - 1 / _CROP_FACTOR) / 2
    in_crop = mean_face() / _CROP_FACTOR + torch.tensor([margin, margin, 0.0])
    tensors["mesh.head_landmarks.bias"] = (in_crop * _MESH_SIDE).reshape(-1).contiguous()
    ring = torch.tensor(_OVAL, dtype=torch.int32)
    canonical = (mean_face()[:468] - 0.5) * torch.tensor([15.0, -20.0, 1.0])
    return tensors | {
        "canonical_vertices": canonical,
        "procrustes_indices": torch.tensor([*_POINTS, *_OVAL], dtype=torch.int32),
        "procrustes_weights": torch.full((len(_POINTS) + len(_OVAL),), 0.1),
        "topology.face_oval": torch.stack([ring, ring.roll(-1)], -1).contiguous(),
        **{f"topology.{part}": torch.zeros(0, 2, dtype=torch.int32) for part in _PARTS},
    }


def _look_for_red(tensors: dict[str, Tensor]) -> None:
    """The first channel carries red less blue through all blocks, which add what they are given, to the scores."""
    stem = tensors["detector_short.stem.weight"]
    # Its pixels are -1..1.
    stem[0, 0], stem[0, 2] = 0.5 / stem[0, 0].numel(), -0.5 / stem[0, 2].numel()
    for number in _BLOCKS_OF_16:
        # The mean of nine in the place of each, so that a large patch counts for more than a bright one.
        tensors[f"detector_short.blocks.{number}.depthwise.weight"][0, 0] = 1 / 9
        tensors[f"detector_short.blocks.{number}.depthwise.weight"][0, 0, 1, 1] -= 1
        tensors[f"detector_short.blocks.{number}.pointwise.weight"][0, 0] = 1
    tensors["detector_short.cls_16.weight"][:, 0] = _SURENESS
    tensors["detector_short.cls_16.bias"] += -_SURENESS * _REDNESS
    tensors["detector_short.cls_8.bias"] += _NEVER
    side = FACE_SIDE * _DETECTOR_SIDE
    # For each of two anchors: middle and size of the box, then the eyes, the nose, the mouth and the ears.
    places = torch.zeros(2, 16)
    places[:, 2:4] = side
    places[:, 4], places[:, 6] = -0.2 * side, 0.2 * side
    tensors["detector_short.reg_16.bias"] = places.reshape(-1).contiguous()


def main(arguments: Iterable[str] | None = None) -> None:
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description="Write weights for MediaPipe's face landmarker that were not trained.")
    parser.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as base:
        comfy_side.begin(Path(base))
        save_file(weights(), given.file)


if __name__ == "__main__":
    main()
