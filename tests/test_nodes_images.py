"""What comes in on IMAGE and MASK sockets, on the stand-in for ComfyUI or on a real one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

TYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture(scope="module")
def images(pack: ModuleType) -> ModuleType:
    return pack.images


class Made(TorchDispatchMode):
    """Adds up the bytes of the tensors that are made in the meantime."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.bytes += made.numel() * made.element_size()
        return made


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_images_that_do_not_hold_0_to_1_are_refused(images: ModuleType, kind: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 1, got {kind}"):
        images.frames_of(torch.ones(1, 4, 5, 3, dtype=kind))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_the_first_image_that_is_none_is_named(images: ModuleType, kind: torch.dtype, wrong: float) -> None:
    batch = torch.rand(4, 8, 9, 3).to(kind)
    batch[1:3, 5, 6, 2] = wrong
    with pytest.raises(ValueError, match=r"Image 2 holds values that are no numbers"):
        images.frames_of(batch)


@pytest.mark.parametrize("kind", TYPES)
def test_large_numbers_are_numbers(images: ModuleType, kind: torch.dtype) -> None:
    largest = torch.full((2, 300, 300, 3), torch.finfo(kind).max, dtype=kind)
    assert torch.equal(images.frames_of(largest), largest.float())
    # Far more than half precision can hold in a sum.
    white = torch.ones(1, 300, 300, 3, dtype=kind)
    assert torch.equal(images.frames_of(white), white.float())


def test_looking_for_what_is_no_number_takes_no_memory(images: ModuleType) -> None:
    batch = torch.rand(8, 64, 64, 3)
    with Made() as made:
        assert images.frames_of(batch) is batch
    assert made.bytes < batch.numel() * batch.element_size() / 100


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_the_first_mask_that_is_none_is_named(images: ModuleType, kind: torch.dtype, wrong: float) -> None:
    masks = torch.rand(3, 8, 9).to(kind)
    masks[1, 2, 3] = wrong
    with pytest.raises(ValueError, match=r"Mask 2 holds values that are no numbers .* Check the node"):
        images.region_in(masks, 8, 9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.ones(2, 1, 8, 9), r"Expected masks \[batch, height, width\], got \[2, 1, 8, 9\]"),
        (torch.ones(9), r"got \[9\]"),
        (torch.ones(0, 8, 9), r"There is no mask in the batch"),
    ],
)
def test_what_is_no_mask_is_refused(images: ModuleType, wrong: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.region_in(wrong, 8, 9)


def test_a_mask_without_a_batch_is_one_for_all_images(images: ModuleType) -> None:
    mask = torch.rand(8, 9) * 2
    assert torch.equal(images.region_in(mask, 8, 9), mask.clamp(0, 1)[None])
    assert images.region_in(torch.zeros(64, 64), 8, 9) is None
    assert images.region_in(None, 8, 9) is None
