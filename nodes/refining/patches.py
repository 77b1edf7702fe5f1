"""ControlNets that are patches of a model: ComfyUI's Qwen Image DiffSynth, Z-Image Fun and Anima LLLite.

They hold the picture of the whole frame and fit it to whatever is sampled. Here each window gets copies that hold what
it shows of that picture.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from .placing import Fit, Placing

# ComfyUI's classes, by their names as older versions lack some of them, and how they lay a mask over a picture of other
# proportions. Pictures are always cut off.
_MASKS: dict[str, Fit] = {"DiffSynthCnetPatch": "none", "ZImageControlPatch": "center", "AnimaLLLitePatch": "center"}
_PICTURES = ("image", "inpaint_image")


def for_window(patcher: Any, placing: Placing) -> Any:
    """The model with its ControlNets as a window sees them: itself where it has none, else a clone of it."""
    given = patcher.model_options.get("transformer_options", {}).get("patches", {})
    copies: dict[int, Any] = {}
    own = {name: [_copy(patch, placing, copies) for patch in patches] for name, patches in given.items()}
    if all(one is other for name in own for one, other in zip(own[name], given[name], strict=True)):
        return patcher
    clone = patcher.clone()
    clone.model_options["transformer_options"]["patches"] = own
    return clone


def _copy(patch: Any, placing: Placing, copies: dict[int, Any]) -> Any:
    """A patch as the window sees it; the very same one where nothing in it is of the frame. Several places of a model
    share one patch, directly or by way of another, and share its copy."""
    if id(patch) in copies:
        return copies[id(patch)]
    own = patch
    inner = getattr(patch, "patch", None)
    if type(patch).__name__ in _MASKS:
        own = _encoded(_seen(patch, placing))
    elif inner is not None and (seen := _copy(inner, placing, copies)) is not inner:
        own = copy.copy(patch)
        own.patch = seen
    copies[id(patch)] = own
    return own


def _seen(patch: Any, placing: Placing) -> Any:
    own = copy.copy(patch)
    for name in _PICTURES:
        picture: Tensor | None = getattr(patch, name, None)
        if picture is not None:
            setattr(own, name, placing.of_frame(picture.movedim(-1, 1)).movedim(1, -1).contiguous())
    if patch.mask is not None:
        own.mask = placing.of_frame(patch.mask, _MASKS[type(patch).__name__]).contiguous()
    return own


def _encoded(patch: Any) -> Any:
    """The same patch, made anew of what it holds, as its latents are made with it."""
    if not hasattr(patch, "encode_latent_cond"):
        return patch
    if hasattr(patch, "inpaint_image"):
        return type(patch)(
            patch.model_patch,
            patch.vae,
            patch.image,
            patch.strength,
            inpaint_image=patch.inpaint_image,
            mask=patch.mask,
        )
    return type(patch)(patch.model_patch, patch.vae, patch.image, patch.strength, patch.mask)
