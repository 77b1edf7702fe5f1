"""Crops from a box alone lie where crops from landmarks lie, on the dlib photographs."""

import statistics

import pytest
import torch
from visage.cli.images import load_image
from visage.faces.alignment import FFHQ, GPEN
from visage.faces.crops import plan_crops
from visage.faces.geometry import apply, invert
from visage.models.detectors import load_detector
from visage.models.host import TorchHost


@pytest.mark.parametrize("file", ["yolov8n-face.pt", "detection_mobilenet0.25_Final.pth"])
def test_a_box_alone_gives_nearly_the_crop_of_the_landmarks(data, file) -> None:
    detector = load_detector(data / "weights" / file, TorchHost("cpu", quiet=True))
    found = []
    for name in ("2007_007763", "2008_001322", "2008_002079", "2008_002470", "2009_004587"):
        frames = load_image(data / "photos" / "dlib_faces" / f"{name}.jpg").pixels[None]
        height, width = frames.shape[1:3]
        found += [(face, width, height) for face in detector.detect(frames)[0] if face.size >= 40]
    assert len(found) >= 15
    for template in (FFHQ, GPEN):
        shares, rises = [], []
        for face, width, height in found:
            crops = plan_crops([(0, face)], template.size, width, height, 1, template)
            middle = torch.full((1, 2), (template.size - 1) / 2, dtype=torch.float64)
            _, y = apply(invert(crops.matrices[0]), middle)[0].tolist()
            shares.append(crops.native_sides[0] / face.size)
            rises.append((face.centre[1] - y) / face.size)
        assert statistics.median(shares) == pytest.approx(template.box_share, rel=0.1)
        assert statistics.median(rises) == pytest.approx(template.box_rise, abs=0.03)
