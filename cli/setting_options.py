"""Options made of settings that are described once, as fields of dataclasses (see :mod:`..fields`)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from ..fields import Setting, build, settings_of

T = TypeVar("T")
N = TypeVar("N", int, float)


class Group(Protocol):
    """A parser or a group of its options."""

    def add_argument(self, *names: str, **more: Any) -> argparse.Action: ...


def add_settings(
    main: Group,
    advanced: Group,
    kind: type,
    choices: Mapping[str, Sequence[str]] | None = None,
    only: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
) -> None:
    """An option for each setting of a dataclass, in their order: its name with hyphens.

    Args:
        main, advanced: where options for everybody go, and those for who asks for more.
        choices: what may be chosen of settings for which that is known only here, such as samplers.
        only: names of those that are wanted; empty for all.
        texts: what is told of settings of which another thing is true here than in a graph.
    """
    known, told = choices or {}, texts or {}
    for setting in settings_of(kind, only):
        shown = replace(setting, help=told.get(setting.name, setting.help))
        _add(advanced if setting.advanced else main, shown, known.get(setting.name, setting.choices))


def settings_from(arguments: argparse.Namespace, kind: type[T]) -> T:
    """The dataclass of settings that the options stand for."""
    return build(kind, vars(arguments))


def _add(group: Group, setting: Setting, choices: Sequence[str]) -> None:
    shown = "" if setting.default == "" else f" (default {_shown(setting.default)})"
    names: dict[str, Any] = {"dest": setting.name}
    option = f"--{setting.option or setting.name.replace('_', '-')}"
    text = (setting.help + shown).replace("%", "%%")
    if setting.kind is bool:
        group.add_argument(option, action=argparse.BooleanOptionalAction, default=setting.default, help=text, **names)
    elif choices:
        group.add_argument(option, choices=list(choices), default=setting.default, help=text, **names)
    else:
        metavar = {int: "N", float: "X", str: "TEXT"}[setting.kind]
        # The step is for widgets: here any number between the bounds is fine.
        read = str if setting.kind is str else number(setting.kind, setting.low, setting.high)
        group.add_argument(option, metavar=metavar, type=read, default=setting.default, help=text, **names)


def number(kind: type[N], low: float | None = None, high: float | None = None) -> Callable[[str], N]:
    """Reads the value of an option and refuses what is out of bounds."""

    def read(text: str) -> N:
        value = kind(text)
        if low is not None and not value >= low:
            raise argparse.ArgumentTypeError(f"{text} is less than {low:g}")
        if high is not None and not value <= high:
            raise argparse.ArgumentTypeError(f"{text} is more than {high:g}")
        return value

    # What argparse calls it where the text is no number.
    read.__name__ = "whole number" if kind is int else "number"
    return read


def _shown(default: Any) -> str:
    return {True: "on", False: "off"}[default] if isinstance(default, bool) else str(default)
