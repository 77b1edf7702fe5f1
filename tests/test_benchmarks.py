"""The benchmark of the networks: what it counts and compares. What it times is no matter of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import deform_conv2d

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def restorers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, beside which its neighbours are found."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("restorers", "networks", "timing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import restorers

    yield restorers
    for name in ("restorers", "networks", "timing"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_deformable_convolution_counts_as_much_as_a_convolution(restorers: Any, groups: int) -> None:
    images, weight = torch.rand(2, 8, 12, 10), torch.rand(6, 8 // groups, 3, 3)
    formulas = {torch.ops.torchvision.deform_conv2d: restorers.deformable}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counted:
        deform_conv2d(images, torch.zeros(2, 18, 6, 5), weight, stride=2, padding=1, mask=torch.ones(2, 9, 6, 5))
    with FlopCounterMode(display=False) as plain:
        nn.functional.conv2d(images, weight, stride=2, padding=1, groups=groups)
    assert counted.get_total_flops() == plain.get_total_flops() > 0


def test_a_layout_changes_how_numbers_lie_and_none_of_them(restorers: Any) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(2, 2))
    network = restorers.Measured("x", module, torch.rand(1, 3, 8, 8), lambda *_: None, lambda _: None, 0)
    last = restorers.module_as(network, torch.float32, "last")
    assert last[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last[0].weight, module[0].weight)
    assert module[0].weight.is_contiguous()
    assert restorers.module_as(network, torch.float32, "loaded") is module


@pytest.mark.parametrize(("device", "last"), [("cpu", True), ("meta", False)])
def test_networks_are_measured_as_visage_runs_them(restorers: Any, tmp_path: Path, device: str, last: bool) -> None:
    network = restorers.measured("visage-restore", tmp_path, torch.device(device))
    for held in (torch.cat([network.picture] * 2), network.module.head.weight):
        assert held.is_contiguous(memory_format=torch.channels_last) == last
        assert held.is_contiguous() != last


def test_differences_are_told_in_levels(restorers: Any) -> None:
    one = torch.zeros(1, 1, 100, 100)
    other = one.clone()
    other[..., 0, :11] = 1 / 255
    other[..., 0, 0] = 2 / 255
    shift = restorers.moved(one, other)
    assert (shift.p999, shift.most) == pytest.approx((1, 2))
    assert restorers.moved([], []) is None


def test_nothing_is_in_tf32_off_nvidia(restorers: Any) -> None:
    assert not restorers.in_tf32(torch.device("cpu"), "fp32")
    assert restorers.ceiling(torch.device("cpu"), "fp32") > 0
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_largest_gpen_has_gains_for_every_parameter(restorers: Any) -> None:
    import networks

    largest, large = networks._large_gpen(2048), networks._large_gpen(1024)
    assert largest.gains["generator.convs.17.conv.weight"] == large.gains["generator.convs.15.conv.weight"]
    assert largest.gains["ecd9.0.1.weight"] == large.gains["ecd8.0.1.weight"]
    assert largest.gains["generator.to_rgbs.8.bias"] == large.gains["generator.to_rgbs.7.bias"] != 1


def test_the_shipped_networks_are_measured(tmp_path: Path) -> None:
    given = ["--device", "cpu", "--rounds", "1", "--layout", "first", "last", "--json", str(tmp_path / "figures.json")]
    command = [sys.executable, str(FOLDER / "restorers.py"), *given, "--only", "visage-detect", "visage-restore"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "visage-restore   bf16 is left out: not known to be accurate for Visage" in said
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert [(row["network"], row["layout"]) for row in rows] == [
        ("visage-detect", "loaded"),
        ("visage-restore", "first"),
        ("visage-restore", "last"),
    ]
    assert rows[1]["moved"] is None
    assert rows[2]["moved"]["most"] < 0.1
