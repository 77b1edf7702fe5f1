"""The parts of a diffusion model, as they were read from its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...weights import WeightsError
from .noise import NoiseLevels

# The networks' channels: noisy latents; with the mask and the latents of what is not masked.
_PLAIN_CHANNELS = 4
INPAINT_CHANNELS = 9


@dataclass(frozen=True, eq=False)
class TextPart:
    """What reads the prompt.

    Attributes:
        tokenizer: a ``CLIPTokenizer`` of transformers.
        encoder: a ``CLIPTextModel`` or ``CLIPTextModelWithProjection`` of transformers.
        padding: the token that fills up the end of a prompt.
    """

    tokenizer: Any
    encoder: nn.Module
    padding: int


@dataclass(frozen=True, eq=False)
class Parts:
    """A model of the Stable Diffusion kind, on the CPU.

    Attributes:
        name: for messages.
        unet: a ``UNet2DConditionModel`` of diffusers.
        vae: an ``AutoencoderKL`` of diffusers.
        texts: one for Stable Diffusion, two for SDXL, whose second one also sums up the whole prompt.
    """

    name: str
    unet: nn.Module
    vae: nn.Module
    texts: tuple[TextPart, ...]
    levels: NoiseLevels

    def __post_init__(self) -> None:
        """Raises ``WeightsError`` for a UNet that asks for something that is not given to it here."""
        config: Any = self.unet.config
        if config.in_channels not in (_PLAIN_CHANNELS, INPAINT_CHANNELS):
            raise WeightsError(
                f"The UNet of {self.name} takes {config.in_channels} channels. Models for pictures ({_PLAIN_CHANNELS}) "
                f"and for inpainting ({INPAINT_CHANNELS}) are supported."
            )
        if self.is_sdxl and len(self.texts) != 2:
            raise WeightsError(
                f"{self.name} is an SDXL model without its first text encoder, perhaps the SDXL refiner. "
                "Choose an SDXL base or inpainting model."
            )
        extra = config.addition_embed_type not in (None, "text_time") or config.time_cond_proj_dim is not None
        if extra or config.class_embed_type is not None:
            raise WeightsError(f"The UNet of {self.name} is of a variant that is not supported.")

    @property
    def is_sdxl(self) -> bool:
        """Whether it is of the SDXL kind: told the size of the picture and a summary of the prompt."""
        config: Any = self.unet.config
        return bool(config.addition_embed_type == "text_time")


def assemble(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], what: str) -> nn.Module:
    """A network from the call that makes it and its tensors, which become its weights without a copy.

    Args:
        make: makes the network as its configuration says. Its own first weights are never computed.
        what: for messages: the file, or the folder of the part.

    Raises:
        WeightsError: the network cannot be made, or the tensors do not fit it.
    """
    try:
        with torch.device("meta"):
            module = make()
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(
            f"{what} is damaged or of a variant that is not supported: its network cannot be built ({error})."
        ) from error
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    wrong = [name for name, value in wanted.items() if name in tensors and tensors[name].shape != value.shape]
    if missing or wrong:
        which = f"{missing[0]} is missing" if missing else f"{wrong[0]} is of another size than the others ask for"
        raise WeightsError(f"{what} is damaged or of a variant that is not supported: {which}.")
    module.load_state_dict({name: tensors[name] for name in wanted}, assign=True)
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_meta:  # the positions of the words, which no file needs to hold
                part.register_buffer(name, torch.arange(buffer.numel()).reshape(buffer.shape), persistent=False)
    return module.eval().requires_grad_(False)
