"""The node tests once more, on a real ComfyUI in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from visage.tests import comfy_side
from visage.training.data import data_folder

TESTS = Path(__file__).resolve().parent
NODE_TESTS = (
    "test_nodes.py",
    "test_nodes_bridges.py",
    "test_nodes_images.py",
    "test_nodes_refine.py",
    "test_nodes_refine_diffusers.py",
    "test_nodes_refine_inputs.py",
    "test_nodes_regions.py",
    "test_nodes_report.py",
    "test_nodes_schema.py",
    "test_nodes_select.py",
    "test_pick_node.py",
)


def test_the_node_tests_pass_on_a_real_comfyui(tmp_path: Path) -> None:
    if reason := comfy_side.why_not():
        pytest.skip(reason)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NODE_TESTS],
        cwd=TESTS,
        env=os.environ | {comfy_side.VARIABLE: "comfyui"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " skipped" not in run.stdout.splitlines()[-1] or not data_folder().is_dir()
