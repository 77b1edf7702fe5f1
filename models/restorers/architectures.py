"""The kinds of networks that Visage can restore with: how each wants to be called, what it takes, what it needs.

Range and arguments follow the authors' own inference scripts. Spandrel's call with pictures of 0..1 is not used for
networks of faces: it hands GFPGAN and CodeFormer a range that they were not trained on, and GFPGAN fresh noise at
every call.

Working memory was measured as growth of the process during one call on the CPU (bytes per pixel of the input: GFPGAN
2,680, CodeFormer 2,060, RestoreFormer 2,790, ESRGAN 12,350, Compact 780) and raised by half for the convolution
workspaces of other devices.

bfloat16 was measured as true bfloat16 (weights and activations) against fp32 on the CPU, in levels of 255: the mean,
the 99.9th percentile and the greatest difference over the picture. ``python -m visage.tests.parity.precision`` prints
it.

    network                              mean   p99.9     max
    GFPGAN, random weights               0.48     2.3     4.0   allowed
    realesr-general-x4v3, photographs    0.34     2.1     5.4   allowed (architecture Compact)
    RestoreFormer, random weights        18.3     110     175   refused: other entries of its codebook win
    CodeFormer                              -       -       -   refused: its codebook can only be read in fp32

Random weights have every parameter away from zero and an output spread like a picture's. Architectures that are not
in this table are refused too: random weights say little about them, and no real ones were measured. fp16 is offered
for none: GFPGAN's style modulation and both codebooks lose more in it than it saves.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .network import Architecture


def _gfpgan(module: nn.Module, images: Tensor, fidelity: float) -> Tensor:
    # The noise stored with the weights, so that the same crop gives the same pixels.
    output: Tensor = module(images, return_rgb=False, randomize_noise=False)[0]
    return output


def _codeformer(module: nn.Module, images: Tensor, fidelity: float) -> Tensor:
    output: Tensor = module(images, weight=fidelity)[0]
    return output


def _restoreformer(module: nn.Module, images: Tensor, fidelity: float) -> Tensor:
    output: Tensor = module(images)[0]
    return output


# By spandrel's name of the architecture.
FACE_ARCHITECTURES = {
    "GFPGAN": Architecture(
        name="GFPGAN",
        call=_gfpgan,
        signed=True,
        side=512,
        acts_on_fidelity=False,
        bytes_per_pixel=4000,
        bf16=True,
    ),
    "CodeFormer": Architecture(
        name="CodeFormer",
        call=_codeformer,
        signed=True,
        side=512,
        acts_on_fidelity=True,
        bytes_per_pixel=3100,
        bf16=False,
    ),
    "RestoreFormer": Architecture(
        name="RestoreFormer",
        call=_restoreformer,
        signed=True,
        side=512,
        acts_on_fidelity=False,
        bytes_per_pixel=4200,
        bf16=False,
    ),
}

# Working memory and bfloat16 of the networks that take any picture. What was not measured is taken for as large as
# ESRGAN, whose wide layers at the enlarged size make it one of the hungriest.
_MEASURED = {"Compact": (1200, True), "ESRGAN": (18500, False)}
_UNMEASURED = (18500, False)


def picture_architecture(name: str, call: Callable[[nn.Module, Tensor], Tensor]) -> Architecture:
    """A network that takes any picture of 0..1: an upscaler, or a remover of noise, blur or compression.

    Args:
        name: spandrel's name of the architecture.
        call: spandrel's way of running it.
    """
    bytes_per_pixel, bf16 = _MEASURED.get(name, _UNMEASURED)
    return Architecture(
        name=name,
        call=lambda module, images, fidelity: call(module, images),
        signed=False,
        side=None,
        acts_on_fidelity=False,
        bytes_per_pixel=bytes_per_pixel,
        bf16=bf16,
    )
