"""Refining with ComfyUI's own samplers, on a real ComfyUI in a process of its own: ``tests/comfyui_refine.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from visage.tests import comfy_side

TESTS = Path(__file__).resolve().parent


def run(*arguments: str, seconds: int) -> None:
    if reason := comfy_side.why_not():
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=TESTS,
        env=os.environ | {comfy_side.VARIABLE: "comfyui"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_engine_samples_as_comfyui_does_and_changes_nothing_else() -> None:
    run("comfyui_refine.py", seconds=600)


@pytest.mark.skipif(os.environ.get("VISAGE_SLOW") != "1", reason="takes minutes and 8 GB: VISAGE_SLOW=1")
def test_a_checkpoint_of_the_size_of_stable_diffusion_1_5_runs() -> None:
    run("comfyui_full_size.py", seconds=3000)
