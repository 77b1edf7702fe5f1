"""There and back between FACES and what other nodes send: any box and any part of a mask, within a pixel.

Beside ``test_nodes_bridges.py``, because Hypothesis takes long in a process that has all of ComfyUI in it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from visage.faces.face import Face, Faces
from visage.tests.test_nodes_bridges import HEIGHT, WIDTH, gap, same_within_a_pixel


@pytest.fixture(scope="module")
def bridges(pack: ModuleType) -> ModuleType:
    return pack.bridges


sides = st.floats(3.0, 40.0)
some_boxes = st.lists(
    st.builds(lambda x, y, w, h: (x, y, x + w, y + h), st.floats(-20, 90), st.floats(-20, 70), sides, sides), max_size=4
)


@settings(deadline=None)
@given(some_boxes, st.floats(1.0, 5.0))
def test_any_box_comes_back_within_a_pixel(bridges: ModuleType, boxes: Any, crop_factor: float) -> None:
    faces = Faces(WIDTH, HEIGHT, (tuple(Face(box) for box in boxes),))
    bboxes, segs = bridges.boxes_of(faces), bridges.segs_of(faces, crop_factor)
    back = bridges.faces_of_boxes(bboxes, 1)[0]
    assert len(back) == len(boxes)
    assert all(gap(one, two) < 1e-9 for one, two in zip(faces.frames[0], back, strict=True))
    (size, parts), limits = segs[0], (-0.5, -0.5, WIDTH - 0.5, HEIGHT - 0.5)
    assert size == (HEIGHT, WIDTH)
    clipped = [Face(tuple(min(max(at, limits[i % 2]), limits[2 + i % 2]) for i, at in enumerate(box))) for box in boxes]
    seen = [face for face in clipped if face.width > 1 and face.height > 1]
    assert len(seen) <= len(parts) <= len(boxes)
    returned = bridges.faces_of_segs(segs[0], WIDTH, HEIGHT, 1)[0]
    assert len(returned) == len(parts)
    assert all(min(gap(face, other) for other in returned) <= 0.5 for face in seen)
    for seg in parts:
        left, top, right, bottom = seg.crop_region
        assert seg.cropped_mask.shape == (bottom - top, right - left)
        assert 0 <= left <= seg.bbox[0] < seg.bbox[2] <= right <= WIDTH
        assert 0 <= top <= seg.bbox[1] < seg.bbox[3] <= bottom <= HEIGHT
        # Its mask is its box.
        assert seg.cropped_mask.sum() == (seg.bbox[2] - seg.bbox[0]) * (seg.bbox[3] - seg.bbox[1])


@settings(deadline=None)
@given(st.integers(0, 10**6))
@example(558)
@example(58716)
def test_any_part_of_a_mask_comes_back_within_a_pixel(bridges: ModuleType, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 8, 8, generator=chance)
    mask = (torch.nn.functional.interpolate(coarse, (40, 48), mode="bicubic")[0, 0] > 0.55).float()
    (parts,) = bridges.faces_of_mask(mask[None], 48, 40, 1, 1)
    back = bridges.mask_of(Faces(48, 40, (tuple(parts),)))[0]
    # Outlines go around holes.
    contours, _ = cv2.findContours(mask.byte().numpy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = torch.from_numpy(cv2.drawContours(np.zeros((40, 48), np.uint8), contours, -1, 1, cv2.FILLED)).float()
    assert same_within_a_pixel(back, filled)
    # Each box holds exactly the pixels of its part; one that lies in the hole of another is a part of its own.
    assert len(parts) == cv2.connectedComponents(mask.byte().numpy(), connectivity=8)[0] - 1
    assert sum(face.width * face.height for face in parts) >= float(mask.sum())
