"""Networks of diffusers and transformers in the care of a host."""

from __future__ import annotations

from typing import Any

from torch import nn


class Held(nn.Module):
    """Holds a network of diffusers or transformers for a host that sets attributes on what it looks after: their own
    ``device`` cannot be set."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network
