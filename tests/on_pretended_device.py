"""A plugin of pytest, ``-p visage.tests.on_pretended_device``: networks of the node tests compute on a device.

Pictures stay on the CPU, as ComfyUI keeps them, and weights wait there. See ``tests/pretend_device.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from visage.tests import comfy_side
from visage.tests.pretend_device import DEVICE, pretended_device


@pytest.fixture(autouse=True)
def on_the_device(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    comfy_side.begin(base)
    import comfy.model_management

    monkeypatch.setattr(comfy.model_management, "get_torch_device", lambda: DEVICE)
    with pretended_device():
        yield
