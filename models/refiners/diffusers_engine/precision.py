"""In what precision a model is held, and how users choose it."""

from __future__ import annotations

from typing import Literal, cast, get_args

import torch

InpaintPrecision = Literal["fp32", "bf16", "fp16"]

AUTO = "auto"
AUTO_TEXT = "auto: fp16, on a CPU fp32"
"""What users are told of that."""

PRECISIONS: tuple[str, ...] = (AUTO, *get_args(InpaintPrecision))
"""What users may choose."""

DTYPES: dict[InpaintPrecision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision_on(device: torch.device, chosen: str) -> InpaintPrecision:
    """The precision that is meant by one of :data:`PRECISIONS` on a device."""
    if chosen == AUTO:
        return "fp32" if device.type == "cpu" else "fp16"
    return cast(InpaintPrecision, chosen)
