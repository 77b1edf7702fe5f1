"""A stand-in: a patcher that knows where its model belongs and moves nothing by itself."""

from __future__ import annotations

import torch

from . import model_management


class ModelPatcher:
    def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device) -> None:
        self.model = model
        self.load_device = load_device
        self.offload_device = offload_device

    def is_dynamic(self) -> bool:
        return False

    def get_free_memory(self, device: torch.device) -> int:
        return model_management.get_free_memory(device)


CoreModelPatcher = ModelPatcher
