"""Values for settings, which come from links without anybody having looked at them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from visage.faces.selection import PickSettings, SelectSettings
from visage.fields import Setting, build, settings_of
from visage.models.detectors import DetectionSettings
from visage.pipeline import BlendSettings, RefineSettings, RegionSettings, RestoreSettings

KINDS = (
    *(RestoreSettings, RefineSettings, BlendSettings, RegionSettings),
    *(DetectionSettings, SelectSettings, PickSettings),
)
NUMBERS = [
    pytest.param(kind, setting, id=f"{kind.__name__}-{setting.name}")
    for kind in KINDS
    for setting in settings_of(kind)
    if setting.kind in (int, float)
]
CHOICES = [
    pytest.param(kind, setting, id=f"{kind.__name__}-{setting.name}")
    for kind in KINDS
    for setting in settings_of(kind)
    if setting.choices
]


@pytest.mark.parametrize(("kind", "setting"), NUMBERS)
def test_numbers_beyond_the_limits_are_refused(kind: type, setting: Setting) -> None:
    assert setting.low is not None
    assert setting.high is not None
    for value in (setting.low, setting.high, setting.default):
        build(kind, {setting.name: value})
    wrong: list[Any] = [setting.low - 1, setting.high + 1, math.nan, math.inf, -math.inf, None, "", "1"]
    for value in (*wrong, 0.5) if setting.kind is int else wrong:
        with pytest.raises(ValueError, match=f"^{setting.name} must be "):
            build(kind, {setting.name: value})


@pytest.mark.parametrize(("kind", "setting"), NUMBERS)
def test_numbers_of_numpy_are_numbers(kind: type, setting: Setting) -> None:
    build(kind, {setting.name: (np.int64 if setting.kind is int else np.float32)(setting.low)})


@pytest.mark.parametrize(("kind", "setting"), CHOICES)
def test_what_is_none_of_the_choices_is_refused(kind: type, setting: Setting) -> None:
    for choice in setting.choices:
        build(kind, {setting.name: choice})
    with pytest.raises(ValueError, match=f"^{setting.name} must be one of .*{setting.choices[0]}.*, not 'other'"):
        build(kind, {setting.name: "other"})
