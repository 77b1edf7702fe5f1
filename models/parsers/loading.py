"""The two parsers that facexlib ships, ParseNet and BiSeNet, read from their files and called in one way.

Range, normalisation and numbering are those of facexlib's own use of the networks. Both are run at 512 px, the side of
the faces that they were trained on.

Working memory was measured as growth of the process during one call on the CPU (bytes per pixel: ParseNet 2,100,
BiSeNet 225) and raised by half for the convolution workspaces of other devices.

bfloat16 was measured against fp32 on the CPU with random weights that keep every part of the networks at work: the
pixels that change their region, and the greatest difference of the mask that faces are pasted with, in levels of 255.

    network     pixels    mask
    BiSeNet     0.6 %     0.2   allowed
    ParseNet    1.8 %     6.7   refused

Random weights make every pixel a close call; what the trained ones lose is not known. fp16 was not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...faces.regions import REGIONS, Region
from ..building import built_as
from ..packages import needed_by
from ..weights import WeightsError, read_weights

# The regions in the order of the channels of each network.
_PARSENET: tuple[Region, ...] = (
    "background",
    "skin",
    "nose",
    "glasses",
    "left eye",
    "right eye",
    "left brow",
    "right brow",
    "left ear",
    "right ear",
    "mouth",
    "upper lip",
    "lower lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "cloth",
)
_BISENET: tuple[Region, ...] = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "left ear",
    "right ear",
    "earring",
    "nose",
    "mouth",
    "upper lip",
    "lower lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)


@dataclass(frozen=True)
class Architecture:
    """What the code around a parsing network must know of its kind.

    Attributes:
        name: as its authors call it.
        build: the network without its weights.
        names: tensors by which its files are told from all others.
        mean, spread: of the pictures it was trained on, RGB 0..1: it takes ``(picture - mean) / spread``.
        call: runs it: module and input ``[N, 3, S, S]``. Gives ``[N, R, S, S]``, not yet probabilities.
        regions: R of them, in the order of the channels.
        bytes_per_pixel: working memory of a call in fp32 per pixel of the input, maps included.
        bf16: bfloat16 was measured to be close enough to fp32.
    """

    name: str
    build: Callable[[], nn.Module]
    names: frozenset[str]
    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    call: Callable[[nn.Module, Tensor], Tensor]
    regions: tuple[Region, ...]
    bytes_per_pixel: int
    bf16: bool

    @property
    def channels(self) -> list[int]:
        """The channel of each region of :data:`~visage.faces.regions.REGIONS`."""
        return [self.regions.index(region) for region in REGIONS]


@dataclass(frozen=True)
class Network:
    """A parsing network as read from a file; ``name`` is the file's name without its ending."""

    name: str
    module: nn.Module
    architecture: Architecture


def _build_parsenet() -> nn.Module:
    with needed_by("ParseNet", "facexlib"):
        from facexlib.parsing.parsenet import ParseNet

    network: nn.Module = ParseNet(in_size=512, out_size=512, parsing_ch=len(_PARSENET))
    return network


def _call_parsenet(module: nn.Module, images: Tensor) -> Tensor:
    regions: Tensor = module(images)[0]
    return regions


def _build_bisenet() -> nn.Module:
    with needed_by("BiSeNet", "facexlib"):
        from facexlib.parsing.bisenet import BiSeNet

    network: nn.Module = BiSeNet(num_class=len(_BISENET))
    return network


def _call_bisenet(module: Any, images: Tensor) -> Tensor:
    """The first of its three outputs; the other two guide its training and would cost a tenth of the time."""
    fine, fused, _ = module.cp(images)
    regions, _ = module.conv_out(module.ffm(fine, fused))
    return F.interpolate(regions, images.shape[2:], mode="bilinear", align_corners=True)


ARCHITECTURES = (
    Architecture(
        name="ParseNet",
        build=_build_parsenet,
        names=frozenset({"encoder.0.conv2d.weight", "out_mask_conv.conv2d.weight"}),
        mean=(0.5, 0.5, 0.5),
        spread=(0.5, 0.5, 0.5),
        call=_call_parsenet,
        regions=_PARSENET,
        bytes_per_pixel=3150,
        bf16=False,
    ),
    Architecture(
        name="BiSeNet",
        build=_build_bisenet,
        names=frozenset({"cp.resnet.conv1.weight", "ffm.convblk.conv.weight", "conv_out.conv_out.weight"}),
        # Of ImageNet.
        mean=(0.485, 0.456, 0.406),
        spread=(0.229, 0.224, 0.225),
        call=_call_bisenet,
        regions=_BISENET,
        bytes_per_pixel=340,
        bf16=True,
    ),
)


def load_network(path: Path) -> Network:
    """Reads a parser, on the CPU in fp32.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile, or no parser that is known here.
    """
    try:
        tensors = read_weights(path).tensors
    except FileNotFoundError as error:
        raise WeightsError(
            f"There is no weight file {path}. Check the name, or get one with `visage models get`."
        ) from error
    for architecture in ARCHITECTURES:
        if architecture.names <= tensors.keys():
            module = built_as(architecture.name, path.name, architecture.build, tensors)
            return Network(path.stem, module, architecture)
    raise WeightsError(
        f"{path.name} is no face parser that Visage knows. Get parsing_bisenet.pth or parsing_parsenet.pth: "
        "`visage models get bisenet`."
    )
