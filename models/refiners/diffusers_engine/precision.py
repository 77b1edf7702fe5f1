"""In what precision a model is held, and how users choose it."""

from __future__ import annotations

from typing import Final, Literal, get_args

import torch

InpaintPrecision = Literal["fp32", "bf16", "fp16"]
ChosenPrecision = Literal["auto", InpaintPrecision]

AUTO: Final = "auto"
AUTO_TEXT = "auto: fp16, on a CPU fp32"
"""What users are told of that."""

PRECISIONS: tuple[ChosenPrecision, ...] = get_args(ChosenPrecision)
"""What users may choose."""

DTYPES: dict[InpaintPrecision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def precision_on(device: torch.device, chosen: ChosenPrecision) -> InpaintPrecision:
    """The precision that is meant by a choice on a device."""
    if chosen == AUTO:
        return "fp32" if device.type == "cpu" else "fp16"
    return chosen
