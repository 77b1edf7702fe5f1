"""Whether a model takes a mask beside its latent, and whether it was made for nothing but filling it in."""

from __future__ import annotations

from typing import Any

import comfy.model_base


def takes_masks(model: Any) -> bool:
    """Whether a model has inputs beside its latent for what is masked.

    Kinds of which all models or none have them are told by their class, the others by the channels of their input.
    """
    if model.concat_keys:
        return True
    if type(model).concat_cond is comfy.model_base.BaseModel.concat_cond:
        return False
    channels = _channels(model)
    return channels is None or channels > model.latent_format.latent_channels


def only_fills(model: Any) -> bool:
    """Whether a model was made to fill in what is masked and nothing else: inpainting checkpoints of Stable Diffusion,
    and Flux Fill. What others have inputs for may be something else, such as a control image."""
    if "masked_image" in model.concat_keys:
        return True
    channels = _channels(model) if isinstance(model, comfy.model_base.Flux) else None
    # The latent, the picture, and more for the mask.
    return channels is not None and channels > 2 * model.latent_format.latent_channels


def _channels(model: Any) -> int | None:
    """Of the input of a model, where its kind says so."""
    config = model.model_config.unet_config
    channels: int | None = config.get("in_channels", config.get("in_dim"))
    return channels
