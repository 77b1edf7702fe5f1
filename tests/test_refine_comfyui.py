"""Refining with ComfyUI's own samplers, on a real ComfyUI in a process of its own: ``tests/comfyui_refine.py`` and
``tests/comfyui_prompts.py``.
"""

from __future__ import annotations

import os

import pytest
from visage.tests import comfy_side


def test_the_engine_samples_as_comfyui_does_and_changes_nothing_else() -> None:
    comfy_side.run("comfyui_refine.py", "comfyui_prompts.py", seconds=600)


@pytest.mark.skipif(os.environ.get("VISAGE_SLOW") != "1", reason="takes minutes and 8 GB: VISAGE_SLOW=1")
def test_a_checkpoint_of_the_size_of_stable_diffusion_1_5_runs() -> None:
    comfy_side.run("comfyui_full_size.py", seconds=3000)
