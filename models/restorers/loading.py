"""From a weight file to a network: what it is is found out from the names of its tensors.

The name of the file counts for GPEN alone, which restores, colours or fills with the same tensors: see :mod:`.gpen`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..host import is_out_of_memory
from ..packages import needed_by
from ..weights import RefusedError, WeightsError, no_room, read_weights
from .architectures import picture_architecture
from .kinds import KINDS
from .network import Network

if TYPE_CHECKING:
    from spandrel import ArchRegistry, ImageModelDescriptor

# What people have in the same folders and what it is: names of tensors that give it away, and the rest of a sentence.
_OTHERS: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"conv_body_first.0.weight", "final_linear.weight"}),
        'is the first GFPGAN ("original" or "bilinear"), whose network differs. Get GFPGANv1.4.pth.',
    ),
    (
        frozenset({"convs.1.conv2.0.kernel", "final_conv.0.weight"}),
        "is a discriminator (of GPEN, if it ends in -D), which only training needs. Get GPEN-BFR-512.pth.",
    ),
    (
        frozenset({"BboxHead.0.conv1x1.weight", "LandmarkHead.0.conv1x1.weight"}),
        "is a RetinaFace detector. Choose it as the detector.",
    ),
)
# What an architecture raises over a state dict that looks like theirs and is not.
_MISFIT = (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError)


def load_network(path: Path) -> Network:
    """Reads a restorer or upscaler, on the CPU in fp32.

    Raises:
        WeightsError: there is no such file, or it is empty, cut short, hostile, or no network that makes an RGB
            picture from a single RGB picture. The message says what it is, as far as that can be told.
    """
    tensors = _bare(_read(path))
    for names, what in _OTHERS:
        if names <= tensors.keys():
            raise WeightsError(f"{path.name} {what}")
    for kind in KINDS:
        if kind.recognises(tensors):
            try:
                return kind.load(path.stem, tensors)
            except _MISFIT as error:
                raise _misfit(path, error) from error
    descriptor = _describe(path, tensors)
    return Network(
        name=path.stem,
        module=descriptor.model.eval(),
        # The public call of a descriptor clamps, which would make a white pixel of an infinite one.
        architecture=picture_architecture(descriptor.architecture.id, descriptor._call_fn),
        scale=descriptor.scale,
        padding=descriptor.size_requirements.get_padding,
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_weights(path).tensors
    except FileNotFoundError as error:
        raise WeightsError(
            f"There is no weight file {path}. Check the name, or get one with `visage models get`."
        ) from error
    except RefusedError as error:
        if any(name.startswith("ultralytics.") for name in error.names):
            raise WeightsError(f"{path.name} is a YOLO network. Choose it as the detector.") from error
        raise


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """RestoreFormer's own checkpoints keep the network under a prefix, with a counter of its training."""
    prefix = "vqvae."
    if f"{prefix}quantize.embedding.weight" not in tensors:
        return tensors
    bare = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    bare.pop("quantize.utility_counter", None)
    return bare


def _describe(path: Path, tensors: dict[str, Tensor]) -> ImageModelDescriptor[nn.Module]:
    with needed_by(path.name, "spandrel"):
        from spandrel import ImageModelDescriptor, UnsupportedModelError
    registry = _registry(path)
    try:
        with torch.random.fork_rng(devices=[]):  # a network draws its first weights from the global generator
            descriptor = registry.load(tensors)
    except UnsupportedModelError as error:
        raise WeightsError(
            f"{path.name} is no restorer or upscaler that Visage knows (it begins with {next(iter(tensors))}). "
            "It reads GFPGAN, CodeFormer, RestoreFormer, VQFR, GPEN, HiFaceGAN, ELIR and the upscalers that spandrel "
            "reads."
        ) from error
    except _MISFIT as error:
        raise _misfit(path, error) from error
    name = descriptor.architecture.name
    if not isinstance(descriptor, ImageModelDescriptor):
        raise WeightsError(f"{path.name} is a {name} network for filling holes, which needs a mask: no restorer.")
    channels = descriptor.input_channels, descriptor.output_channels
    if channels != (3, 3):
        raise WeightsError(
            f"{path.name} is a {name} network that makes {channels[1]} channels from {channels[0]}. "
            "A restorer must take and give RGB."
        )
    return descriptor


def _misfit(path: Path, error: Exception) -> WeightsError:
    if is_out_of_memory(error):
        return no_room(path.name)
    return WeightsError(
        f"{path.name} resembles a known network, but its tensors do not fit it. The file is damaged or of a "
        "variant that is not supported: get a copy from the model's own page."
    )


def _registry(path: Path) -> ArchRegistry:
    """Spandrel's architectures and its extra ones, in a registry of our own: other users of the global one see
    nothing of it, and find it unchanged where they have added the extra ones themselves."""
    with needed_by(path.name, "spandrel_extra_arches"):
        import spandrel_extra_arches
        from spandrel import MAIN_REGISTRY

    registry = MAIN_REGISTRY.copy()
    registry.add(*spandrel_extra_arches.EXTRA_REGISTRY, ignore_duplicates=True)
    return registry
