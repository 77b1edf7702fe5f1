"""Crop Faces and Paste Faces, on the stand-in for ComfyUI or on a real one (see ``tests/comfy_side.py``)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.tests.comfy_models import LEFT_FACE, RIGHT_FACE
from visage.tests.node_sockets import PASTING, found, same


def test_crops_pasted_back_as_they_are_change_next_to_nothing(pack: ModuleType) -> None:
    down, across = torch.meshgrid(torch.linspace(0, 1, 128), torch.linspace(0, 1, 160), indexing="ij")
    smooth = torch.stack([down, across, (down + across) / 2], dim=-1).expand(3, -1, -1, -1).contiguous()
    crops, places = pack.CropFaces.execute(smooth, found(pack, smooth, (LEFT_FACE, RIGHT_FACE)), 256).result
    assert crops.shape == (6, 256, 256, 3)
    assert places.frame_of == (0, 0, 1, 1, 2, 2)
    pasted, mask = pack.PasteFaces.execute(smooth, places, **PASTING, crops=crops).result
    assert float((pasted - smooth).abs().max()) < 1 / 255
    assert same(pasted[mask == 0], smooth[mask == 0])


@pytest.mark.parametrize("side", [64, 512])
def test_crops_may_come_back_at_another_size(pack: ModuleType, image: Tensor, side: int) -> None:
    _, places = pack.CropFaces.execute(image, found(pack, image), 256).result
    pasted, mask = pack.PasteFaces.execute(image, places, **PASTING, crops=torch.zeros(3, side, side, 3)).result
    assert float(pasted[mask > 0.999].max()) < 0.01
    assert same(pasted[mask == 0], image[mask == 0])


def test_crops_may_be_pasted_into_the_enlarged_image(pack: ModuleType, image: Tensor) -> None:
    crops, places = pack.CropFaces.execute(image, found(pack, image), 256).result
    large = torch.zeros(3, 256, 320, 3)
    matched = PASTING | {"colour_match": 1.0}
    pasted, mask = pack.PasteFaces.execute(large, places, **matched, crops=crops).result
    assert pasted.shape == large.shape
    assert float(mask[:, 128, 80].min()) == 1
    with pytest.raises(ValueError, match="no enlargement"):
        pack.PasteFaces.execute(torch.zeros(3, 256, 300, 3), places, **PASTING, crops=crops)


def test_no_face_gives_one_grey_crop_that_is_not_pasted(pack: ModuleType, image: Tensor) -> None:
    crops, places = pack.CropFaces.execute(image, found(pack, image, ()), 96).result
    assert crops.shape == (1, 96, 96, 3)
    assert len(places) == 0
    pasted, mask = pack.PasteFaces.execute(image, places, **PASTING, crops=crops).result
    assert pasted is image
    assert not mask.any()


def test_crops_are_evaluated_only_when_there_is_something_to_paste(pack: ModuleType, image: Tensor) -> None:
    none, one = (pack.CropFaces.execute(image, found(pack, image, boxes), 64).result[1] for boxes in ((), (LEFT_FACE,)))

    def wanted(places: Any, strength: float) -> list[str]:
        return pack.PasteFaces.check_lazy_status(
            image=image, face_crops=places, crops=None, **PASTING | {"strength": strength}
        )

    assert wanted(one, 1.0) == ["crops"]
    assert wanted(one, 0.0) == []
    assert wanted(none, 1.0) == []
    unchanged, _ = pack.PasteFaces.execute(image, one, **PASTING | {"strength": 0.0}).result
    assert unchanged is image


def test_crops_that_do_not_belong_are_refused(pack: ModuleType, image: Tensor) -> None:
    _, places = pack.CropFaces.execute(image, found(pack, image), 64).result
    with pytest.raises(ValueError, match="2 crops for 3 faces"):
        pack.PasteFaces.execute(image, places, **PASTING, crops=torch.zeros(2, 64, 64, 3))
    with pytest.raises(ValueError, match="square"):
        pack.PasteFaces.execute(image, places, **PASTING, crops=torch.zeros(3, 64, 80, 3))
