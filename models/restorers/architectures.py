"""The kinds of networks that Visage can restore with: how each wants to be called, what it takes, what it needs.

Range and arguments follow the authors' own inference scripts. Spandrel's call with pictures of 0..1 is not used for
networks of faces: it hands GFPGAN and CodeFormer a range that they were not trained on, and GFPGAN fresh noise at
every call.

Working memory was measured as growth of the process during one call on the CPU (bytes per pixel of the input: GFPGAN
2,680, CodeFormer 2,060, RestoreFormer 2,150, VQFR v1 9,450, VQFR v2 5,870, ELIR 1,150, GPEN 2,440, HiFaceGAN 5,140,
ESRGAN 12,350, Compact 780) and raised by half for the convolution workspaces of other devices.

bfloat16 was measured as true bfloat16 (weights and activations) against fp32 on the CPU, in levels of 255: the mean,
the 99.9th percentile and the greatest difference over the picture. ``python -m visage.tests.parity.precision`` prints
it.

    network                              mean   p99.9     max
    GFPGAN, random weights               0.48     2.3     4.0   allowed
    GPEN 512, random weights             0.54     3.3     5.7   allowed
    GPEN 256, random weights             0.52     3.3     5.9   allowed
    ELIR, random weights                 0.62     2.8     4.2   allowed; likewise with 1 and with 20 steps
    realesr-general-x4v3, photographs    0.34     2.1     5.4   allowed (architecture Compact)
    RestoreFormer, random weights        4.67    47.8      73   refused: at 1.6 % of the places another code wins
    RestoreFormer++, random weights      11.1    78.1     107   refused: likewise at 3.1 %
    VQFR v1, random weights              0.74     4.0     5.1   refused: as RestoreFormer (no other code in 16 places)
    VQFR v2, random weights              0.87     4.3     5.9   refused: likewise
    HiFaceGAN, random weights            0.97    10.1    17.7   refused: the weights of its poolings are exponentials
    CodeFormer, random weights           1.16    17.8    38.6   refused: the generator itself, no other code won

Random weights have every parameter away from zero and an output spread like a picture's; RestoreFormer and ELIR were
given 256 pixels, VQFR 128, and CodeFormer, half as wide as the official one, 256. With the same codes on both sides,
RestoreFormer would be at 0.85 and 4.9. Architectures that are not in this table are refused too: random weights say
little about them, and no real ones were measured. fp16 is offered for none: GFPGAN's style modulation and both
codebooks lose more in it than it saves.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .network import Architecture

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
        call=lambda module, images, options: call(module, images),
        signed=False,
        side=None,
        acts_on_fidelity=False,
        bytes_per_pixel=bytes_per_pixel,
        bf16=bf16,
    )
