"""The diffusers engine beside that of ComfyUI, in a process with a real ComfyUI: ``tests/comfyui_engines.py``."""

from __future__ import annotations

import os

import pytest
from visage.tests import comfy_side


@pytest.mark.skipif(os.environ.get("VISAGE_SLOW") != "1", reason="takes minutes and 8 GB: VISAGE_SLOW=1")
def test_both_engines_paint_the_same_with_the_same_checkpoint() -> None:
    comfy_side.run("comfyui_engines.py", seconds=3000)
