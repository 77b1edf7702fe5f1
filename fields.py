"""Settings described once: as fields of dataclasses that the nodes make widgets of and the command line options.

A dataclass of settings may hold others; their fields follow one another in the order in which they are written, and
that order is the order of the widgets, which saved workflows rely on.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What a user is told of one setting, and what may be chosen.

    Attributes:
        name: of the widget; that of the field unless another is given. With hyphens it is the name of the option on
            the command line.
        option: the name of the option where it is another one.
        kind: ``int``, ``float``, ``bool`` or ``str``.
        help: what it does, in a sentence or two.
        low, high, step: bounds and step of a number.
        choices: what a text may be; empty for a text that is free.
        advanced: shown only to those who ask for it.
        optional: a prompt may lack it, because there were prompts before there was the setting.
        lines: a text of several lines.
        seed: a number that may be changed from run to run.
    """

    name: str
    kind: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    option: str | None = None
    advanced: bool = False
    optional: bool = False
    lines: bool = False
    seed: bool = False


def setting(default: Any, text: str, **more: Any) -> Any:
    """A field of a dataclass of settings. ``more`` are attributes of :class:`Setting`."""
    return dataclasses.field(default=default, metadata={"setting": {"help": text, **more}})


def settings_of(kind: type, only: Sequence[str] = ()) -> Iterator[Setting]:
    """All settings of a dataclass, those of the dataclasses in it included, in order.

    A ``Literal`` gives its choices by itself.

    Args:
        only: names of those that are wanted, in the order in which they are; empty for all.

    Raises:
        KeyError: there is none of that name.
    """
    if only:
        known = {setting.name: setting for setting in settings_of(kind)}
        yield from (known[name] for name in only)
        return
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from settings_of(typing.cast(type, hint))
        elif "setting" in field.metadata:
            more = dict(field.metadata["setting"])
            if typing.get_origin(hint) is typing.Literal:
                more.setdefault("choices", typing.get_args(hint))
                hint = str
            yield Setting(**{"name": field.name, "kind": hint, "default": field.default} | more)


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass of settings from values by name; what is not named keeps its default. Other names are left alone.

    Raises:
        ValueError: a value is none that the setting takes. ComfyUI looks at those of widgets itself, but not at those
            that come from a link.
    """
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            given[field.name] = build(typing.cast(type, hint), values)
        elif (name := field.metadata.get("setting", {}).get("name", field.name)) in values:
            _check(name, hint, field.metadata.get("setting", {}), values[name])
            given[field.name] = values[name]
    return kind(**given)


def _check(name: str, hint: Any, more: Mapping[str, Any], value: Any) -> None:
    choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else more.get("choices", ())
    if choices and value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}.")
    if hint in (int, float):
        _check_number(name, hint, more.get("low"), more.get("high"), value)


def _check_number(name: str, kind: type, low: float | None, high: float | None, value: Any) -> None:
    is_number = isinstance(value, numbers.Integral if kind is int else numbers.Real)
    if not is_number:
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, not {value!r}.")
    least, most = (-math.inf if low is None else low), (math.inf if high is None else high)
    # NaN lies nowhere.
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value}.")
