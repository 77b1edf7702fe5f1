"""Networks in the care of a real ComfyUI, in a process of its own: ``tests/comfyui_memory.py``."""

from __future__ import annotations

from visage.tests import comfy_side


def test_networks_are_carried_to_the_device_once_and_whole() -> None:
    comfy_side.run("comfyui_memory.py", seconds=300)
