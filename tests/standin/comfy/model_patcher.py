"""A stand-in: a patcher that knows where its model belongs and moves nothing by itself."""

from __future__ import annotations

import torch


class ModelPatcher:
    def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device) -> None:
        self.model = model
        self.load_device = load_device
        self.offload_device = offload_device

    def is_dynamic(self) -> bool:
        return False


CoreModelPatcher = ModelPatcher
