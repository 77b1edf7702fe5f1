"""Pasting only what a parser takes for face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from visage.faces.alignment import FFHQ
from visage.faces.crops import extract, plan_crops
from visage.faces.face import Face, Faces
from visage.faces.masks import soft_square
from visage.models.host import TorchHost
from visage.models.inference import InvalidOutputError
from visage.models.restorers import Restorer, load_restorer
from visage.pipeline import BlendSettings, RestoreSettings, paste_crops, restore
from visage.pipeline.parsing import parsed_faces
from visage.tests.counting_host import CountingHost
from visage.tests.parser_models import bright_is_skin, parser_of

HOST = TorchHost("cpu", quiet=True)
PARSE = RestoreSettings(blend=BlendSettings(colour=0, mask="parse"))


def upright(x: float, y: float, side: float, index: int = 0) -> Face:
    """A face whose aligned square of ``side`` pixels has its middle at ``(x, y)``."""
    unit = side / FFHQ.size
    one, two, three, four, five = ((x + (px - 255.5) * unit, y + (py - 255.5) * unit) for px, py in FFHQ.points)
    half = side / 2.7
    return Face((x - half, y - half, x + half, y + half), landmarks=(one, two, three, four, five), index=index)


@pytest.fixture
def half_bright() -> Tensor:
    """Two frames: bright to the left of the middle of the face, dark to the right of it."""
    frames = torch.full((2, 160, 160, 3), 0.7)
    frames[:, :, 80:] = 0.2
    return frames


FACES = Faces(160, 160, ((upright(80, 80, 120),), (upright(80, 80, 120),)))


@pytest.fixture
def brightening(upscaler_file: Callable[..., Path]) -> Restorer:
    return load_restorer(upscaler_file(2, 0.1), HOST)


def test_only_what_the_parser_sees_in_the_restored_crop_is_put_back(half_bright: Tensor, brightening: Restorer) -> None:
    parser, module = parser_of(HOST)
    done = restore(half_bright, FACES, brightening, HOST, PARSE, parser=parser)
    square = restore(half_bright, FACES, brightening, HOST, replace(PARSE, blend=BlendSettings(colour=0)))
    assert sum(module.batches) == 2
    assert float(done.changed[:, 80, 60].min()) > 0.99
    assert float(done.changed[:, 80, 100].max()) == 0
    assert torch.equal(done.frames[done.changed == 0], half_bright[done.changed == 0])
    assert bool((done.changed <= square.changed + 1e-6).all())
    # Where both are sure, the parser takes nothing away.
    assert float((done.changed - square.changed)[:, :, :60].abs().max()) < 0.02


def test_the_mask_is_the_less_of_the_square_and_facexlibs_parsed_face(half_bright: Tensor) -> None:
    crops = plan_crops(FACES.placed, 512, 160, 160, 2)
    pixels = extract(half_bright, crops)
    mask = parsed_faces(pixels, crops, parser_of(HOST)[0])
    seen = (pixels[0].mean(-1) > 0.5).double().numpy()
    theirs = cv2.GaussianBlur(cv2.GaussianBlur(seen, (101, 101), 11), (101, 101), 11)
    assert float((mask[0] - torch.from_numpy(theirs)).abs().max()) < 1e-3
    _, changed = paste_crops(half_bright, crops, pixels, PARSE.blend, parser_of(HOST)[0])
    expected = torch.minimum(soft_square(512), torch.from_numpy(theirs).float())
    row = np.interp((np.arange(160) - 80) * 512 / 120 + 255.5, np.arange(512), expected[256].numpy(), 0, 0)
    assert np.abs(changed[0, 80].numpy() - row).max() < 0.01


@pytest.mark.parametrize("side", [64, 128, 700])
def test_crops_of_every_side(half_bright: Tensor, side: int) -> None:
    crops = plan_crops(FACES.placed, side, 160, 160, 2)
    mask = parsed_faces(extract(half_bright, crops), crops, parser_of(HOST)[0])
    assert mask.shape == (2, side, side)
    fine = plan_crops(FACES.placed, 512, 160, 160, 2)
    whole = parsed_faces(extract(half_bright, fine), fine, parser_of(HOST)[0])
    resized = torch.nn.functional.interpolate(whole[:, None], (side, side), mode="area")[:, 0]
    assert float((mask - resized).abs().max()) < 0.05


def test_a_parser_that_sees_no_face_leaves_the_frame_as_it_was(half_bright: Tensor, brightening: Restorer) -> None:
    dark = half_bright * 0.3
    done = restore(dark, FACES, brightening, HOST, PARSE, parser=parser_of(HOST)[0])
    assert torch.equal(done.frames, dark)
    assert not done.changed.any()


def test_without_a_parser_it_is_told_what_to_do(half_bright: Tensor, brightening: Restorer) -> None:
    with pytest.raises(ValueError, match="needs a face parser: connect one"):
        restore(half_bright, FACES, brightening, HOST, PARSE)
    crops = plan_crops(FACES.placed, 128, 160, 160, 2)
    with pytest.raises(ValueError, match="needs a face parser"):
        paste_crops(half_bright, crops, extract(half_bright, crops), PARSE.blend)


def test_other_masks_do_not_use_the_parser(half_bright: Tensor, brightening: Restorer) -> None:
    parser, module = parser_of(HOST)
    settings = replace(PARSE, blend=BlendSettings(mask="ellipse"))
    with_parser = restore(half_bright, FACES, brightening, HOST, settings, parser=parser)
    assert module.batches == []
    assert torch.equal(with_parser.frames, restore(half_bright, FACES, brightening, HOST, settings).frames)


def test_rubbish_is_reported_with_the_face_and_never_pasted(half_bright: Tensor, brightening: Restorer) -> None:
    def spoiled(images: Tensor) -> Tensor:
        return (
            bright_is_skin(images) * torch.where(images.mean((1, 2, 3)) > 0.6, float("nan"), 1.0)[:, None, None, None]
        )

    half_bright[1] = 0.8
    with pytest.raises(InvalidOutputError, match=r"pretended gave invalid numbers .* face 1 of image 2"):
        restore(half_bright, FACES, brightening, HOST, PARSE, parser=parser_of(HOST, spoiled)[0])


def test_progress_counts_both_networks(half_bright: Tensor, brightening: Restorer) -> None:
    host = CountingHost()
    restore(half_bright, FACES, brightening, host, PARSE, parser=parser_of(HOST)[0])
    assert [host.told] == host.totals == [4]


def test_progress_reaches_its_end_where_faces_are_left_out(half_bright: Tensor, brightening: Restorer) -> None:
    region = torch.ones(2, 160, 160)
    region[1] = 0
    host = CountingHost()
    done = restore(half_bright, FACES, brightening, host, PARSE, region=region, parser=parser_of(HOST)[0])
    assert [frame[0].action for frame in done.outcomes] == ["restored", "skipped"]
    assert [host.told] == host.totals == [4]
