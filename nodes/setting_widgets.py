"""Widgets made of settings that are described once, as fields of dataclasses (see :mod:`..fields`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..fields import Setting, settings_of


def setting_widgets(
    kind: type,
    choices: Mapping[str, Sequence[str]] | None = None,
    only: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> list[io.Input]:
    """A widget for each setting of a dataclass, in their order.

    Args:
        choices: what may be chosen of settings for which that is known only here, such as samplers.
        only: names of those that are wanted, in the order of the widgets; empty for all.
        defaults: of settings that begin at another value in this node.
    """
    known, begins = choices or {}, defaults or {}
    return [
        _widget(
            replace(setting, default=begins.get(setting.name, setting.default)),
            list(known.get(setting.name, setting.choices)),
        )
        for setting in settings_of(kind, only)
    ]


def _widget(setting: Setting, choices: list[str]) -> io.Input:
    shared = {"default": setting.default, "tooltip": setting.help, "advanced": setting.advanced or None}
    shared["optional"] = setting.optional
    if choices:
        return io.Combo.Input(setting.name, options=choices, **shared)
    if setting.kind is bool:
        return io.Boolean.Input(setting.name, **shared)
    if setting.kind is str:
        return io.String.Input(setting.name, multiline=setting.lines, **shared)
    bounds = {"min": setting.low, "max": setting.high, "step": setting.step}
    if setting.kind is int:
        # Where it is told nothing, ComfyUI's page changes a number called seed from run to run.
        return io.Int.Input(setting.name, control_after_generate=setting.seed, **bounds, **shared)
    return io.Float.Input(setting.name, **bounds, **shared)
