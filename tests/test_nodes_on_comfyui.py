"""The node tests once more, on a real ComfyUI in a process of its own."""

from __future__ import annotations

from visage.tests import comfy_side
from visage.training.data import data_folder

NODE_TESTS = (
    "test_nodes.py",
    "test_nodes_bridges.py",
    "test_nodes_crops.py",
    "test_nodes_given_faces.py",
    "test_nodes_images.py",
    "test_nodes_loading.py",
    "test_nodes_refine.py",
    "test_nodes_refine_diffusers.py",
    "test_nodes_refine_inputs.py",
    "test_nodes_regions.py",
    "test_nodes_report.py",
    "test_nodes_schema.py",
    "test_nodes_select.py",
    "test_pick_node.py",
)


def test_the_node_tests_pass_on_a_real_comfyui() -> None:
    said = comfy_side.run(*NODE_TESTS, seconds=600)
    assert " skipped" not in said.splitlines()[-1] or not data_folder().is_dir()
