"""Visage: find, restore and refine faces.

ComfyUI imports this folder as a custom node and calls :func:`comfy_entrypoint`. Importing it loads no network, no
torch and nothing of ComfyUI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import VisageExtension

__version__ = "0.1.0"
WEB_DIRECTORY = "./js"


async def comfy_entrypoint() -> VisageExtension:
    """What ComfyUI calls to learn the nodes of this pack."""
    from .nodes import VisageExtension

    return VisageExtension()
