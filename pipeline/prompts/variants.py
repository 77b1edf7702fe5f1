"""What is drawn by lot inside a prompt: ``{a|b}`` and ``__name__``.

The syntax is that of the Impact Pack's wildcards, which is that of sd-dynamic-prompts but for the latter's variables.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from .grammar import MISPLACED, Passage, PromptError

_NAME = r"__(?!_)[\w./*+\\-](?:[\w./*+\\ -]*?[\w./*+\\-])??(?<!_)__"
_TOKEN = re.compile(
    rf"(?P<escaped>\\(?:[{{}}|]|{_NAME}))"
    rf"|(?P<repeated>\d+#{_NAME})"
    rf"|(?P<name>{_NAME})"
    r"|(?P<variable>\$\{)"
    r"|(?P<mark>[{}|])"
    r"|(?P<network><(?:lora|lyco|hypernet):[^>]*>?)"
    rf"|{MISPLACED}"
)
_COUNT = re.compile(r"\s*(?:(?P<low>\d+)(?P<to>-(?P<high>\d+)?)?|-(?P<most>\d+))\$\$(?:(?P<separator>[^{}|$]*)\$\$)?")
_WEIGHT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)::")
_REFUSALS = {
    "mark": "this }} closes nothing. A plain brace is written \\}}.",
    "variable": "variables ${{...}} are not available. For a dollar before a choice write $ {{a|b}}.",
    "network": "{found} cannot be loaded from here. Load it in front of the model, and take it out of the prompt.",
    "repeated": "{found} is not available. {{2$$, $$__name__}} draws two different lines.",
    "first": "{found} can only be the first thing in the text.",
    "alone": "{found} must be all there is between two [SEP] or after a label.",
    "between": "{found} can stand neither in a text with [LAB] nor in a wildcard file.",
}
_MENTIONED = re.compile(rf"(?<!\\){_NAME}")


@dataclass(frozen=True)
class Reference:
    """A wildcard, and where it was written: one line of the files of that name.

    Attributes:
        name: as :func:`file_name` gives it.
        passage, at: for messages.
    """

    name: str
    passage: Passage
    at: int

    def error(self, message: str) -> PromptError:
        return self.passage.error(self.at, message)


@dataclass(frozen=True)
class Option:
    """One of several texts; ``weight`` is its share."""

    weight: float
    template: Template


@dataclass(frozen=True)
class Choice:
    """Between ``low`` and ``high`` of the options (``None``: all of them), each at most once.

    Attributes:
        counted: whether the user gave a number. A single wildcard then stands for all of its lines.
        separator: goes between those that were drawn.
    """

    options: tuple[Option, ...]
    low: int = 1
    high: int | None = 1
    separator: str = " "
    counted: bool = False


Part = str | Reference | Choice
Template = tuple[Part, ...]


def parse(passage: Passage) -> Template:
    """Reads one prompt, or one line of a wildcard file.

    Raises:
        PromptError: braces do not match, or there is something that means nothing here.
    """
    return _Reader(passage).read()


def references(template: Template) -> Iterator[Reference]:
    """All wildcards in a template, whether or not they would be drawn."""
    for part in template:
        if isinstance(part, Reference):
            yield part
        elif isinstance(part, Choice):
            for option in part.options:
                yield from references(option.template)


def mentioned(text: str) -> set[str]:
    """The names of the wildcards in a text, however long, without reading the rest of it."""
    return {file_name(name[2:-2]) for name in _MENTIONED.findall(text)}


def file_name(written: str) -> str:
    """What a wildcard is known by: its path in lower case, with slashes, and with hyphens for spaces as in the Impact
    Pack, whichever of them was written."""
    return written.replace("\\", "/").replace(" ", "-").lower()


def lottery(seed: int | str) -> Random:
    """What draws. A seed gives the same draws on every machine."""
    return Random(seed)  # noqa: S311


def weighted(text: str, at: int = 0) -> tuple[float, int]:
    """The weight in front of the option that begins at ``at``, and where its text begins."""
    found = _WEIGHT.match(text, at)
    return (float(found[1]), found.end()) if found else (1.0, at)


def pick(weights: Sequence[float], count: int, lot: Random) -> list[int]:
    """Draws without putting back; fewer than ``count`` where there are no more whose weight is above 0.

    Only ``Random.random`` is used: its sequence for a seed is promised to be the same in every version of Python.
    """
    left = list(weights)
    drawn: list[int] = []
    for _ in range(count):
        sums = list(accumulate(left))
        if not sums or sums[-1] <= 0:
            break
        index = bisect_right(sums, lot.random() * sums[-1], hi=len(sums) - 1)
        drawn.append(index)
        left[index] = 0.0
    return drawn


# Braces in braces: more than anybody writes, and less than Python can follow.
_DEEPEST = 50


class _Reader:
    def __init__(self, passage: Passage) -> None:
        self.passage = passage
        self.text = passage.text
        self.at = 0
        self.depth = 0

    def read(self, opened: int | None = None) -> Template:
        """Up to the end of the text, or of the option of the brace that was opened there. The mark that ends the
        option is left for the caller."""
        parts: list[Part] = []
        while found := _TOKEN.search(self.text, self.at):
            parts.append(self.text[self.at : found.start()])
            if found["mark"] in {"|", "}"} and opened is not None:
                self.at = found.start()
                return _joined(parts)
            self.at = found.end()
            parts.append(self._part(found, opened is not None))
        if opened is not None:
            raise self.passage.error(
                opened, "this { is not closed. Each prompt and each line closes its own; a plain brace is written \\{."
            )
        parts.append(self.text[self.at :])
        return _joined(parts)

    def _part(self, found: re.Match[str], inside: bool) -> Part:
        written, at = found[0], found.start()
        if found["name"]:
            return Reference(file_name(written[2:-2]), self.passage, at)
        if found["escaped"]:
            # Outside of braces the bar is a character like any other, and so is the backslash in front of it.
            return written if written == "\\|" and not inside else written[1:]
        if written == "|":
            return written
        if written == "{":
            return self._choice(at)
        raise self.passage.error(at, _REFUSALS[str(found.lastgroup)].format(found=written))

    def _choice(self, opened: int) -> Choice:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.passage.error(opened, f"more than {_DEEPEST} braces are open at once. Nest fewer of them.")
        count = _COUNT.match(self.text, self.at)
        if count:
            self.at = count.end()
        options: list[Option] = []
        while not options or self.text[self.at] == "|":
            self.at += bool(options)
            weight, self.at = weighted(self.text, self.at)
            options.append(Option(weight, self.read(opened)))
        self.at += 1
        self.depth -= 1
        if not any(option.weight for option in options):
            raise self.passage.error(opened, "all weights are 0. Give one of the texts a weight above 0.")
        if not count:
            return Choice(tuple(options))
        low = int(count["low"] or 1)
        high = count["high"] or count["most"] or (None if count["to"] else low)
        if high is not None and int(high) < low:
            raise self.passage.error(opened, f"{low}-{high} is no range. Write the smaller number first.")
        separator = " " if count["separator"] is None else count["separator"]
        return Choice(tuple(options), low, None if high is None else int(high), separator, counted=True)


def _joined(parts: list[Part]) -> Template:
    return tuple(part for part in parts if part)
