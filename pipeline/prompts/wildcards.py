"""Wildcards: text files of which ``__name__`` in a prompt draws a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random

from .grammar import Passage, PromptError
from .variants import (
    Choice,
    Option,
    Part,
    Reference,
    Template,
    file_name,
    lottery,
    mentioned,
    parse,
    pick,
    references,
    weighted,
)


@dataclass(frozen=True)
class _Line:
    """A line of a wildcard file. It is read when it is drawn: collections have many, and some bad, lines."""

    path: Path
    number: int
    text: str
    weight: float
    start: int

    @property
    def template(self) -> Template:
        return parse(Passage(self.text[self.start :], f"wildcard file {self.path}", self.number, self.start + 1))


class Wildcards:
    """Text files by name, each read when it is first needed. ``Wildcards()`` has none.

    Args:
        files: by name: the path inside the folder without ``.txt``, as :func:`~.variants.file_name` has it.
    """

    def __init__(self, files: Mapping[str, Path] | None = None) -> None:
        self._files = dict(files or {})
        self._read: dict[str, tuple[_Line, ...]] = {}
        self._acyclic: set[str] = set()

    @classmethod
    def from_folders(cls, folders: Iterable[Path]) -> Wildcards:
        """All ``.txt`` files of the folders and of the folders in them.

        Of two files of one name that of the earlier folder is taken, within a folder one without spaces. A folder that
        is not there holds no files.
        """
        files: dict[str, Path] = {}
        for folder in folders:
            own: dict[str, tuple[bool, Path]] = {}
            for path in sorted(folder.rglob("*.txt")):
                inside = path.relative_to(folder).with_suffix("").as_posix()
                name, spaced = file_name(inside), " " in inside
                if name not in own or own[name][0] > spaced:
                    own[name] = spaced, path
            for name, (_, path) in own.items():
                files.setdefault(name, path)
        return cls(files)

    def expand(self, text: str, seed: int) -> str:
        """The text with all choices made. The same seed gives the same text.

        Raises:
            PromptError: the text cannot be read, or a wildcard is missing, empty or leads back to itself.
        """
        return self.draw(self.read(Passage(text, "prompt")), lottery(seed))

    def read(self, passage: Passage) -> Template:
        """Reads a text and looks for all wildcards in it, so that no error depends on what is drawn.

        Raises:
            PromptError: as :meth:`expand`.
        """
        template = parse(passage)
        for reference in references(template):
            self._lines(reference)
            for name in self._matching(reference.name):
                self._refuse_circles(name, (), reference)
        return template

    def draw(self, template: Template, lot: Random) -> str:
        """Makes the choices in a text that :meth:`read` gave."""
        return "".join(self._text(part, lot) for part in template)

    def _text(self, part: Part, lot: Random) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Reference):
            return "".join(self._some(self._lines(part), 1, lot))
        options = self._options(part)
        high = len(options) if part.high is None else min(part.high, len(options))
        low = min(part.low, high)
        count = low + int(lot.random() * (high - low + 1)) if high > low else low
        return part.separator.join(self._some(options, count, lot))

    def _some(self, options: Sequence[Option | _Line], count: int, lot: Random) -> list[str]:
        drawn = pick([option.weight for option in options], count, lot)
        return [self.draw(options[index].template, lot) for index in drawn]

    def _options(self, choice: Choice) -> Sequence[Option | _Line]:
        if choice.counted and len(choice.options) == 1:
            template = choice.options[0].template
            if len(template) == 1 and isinstance(template[0], Reference):
                return self._lines(template[0])
        return choice.options

    def _lines(self, reference: Reference) -> Sequence[_Line]:
        names = self._matching(reference.name)
        if not names:
            raise reference.error(self._unknown(reference.name))
        lines = [line for name in names for line in self._file(name)]
        if not any(line.weight for line in lines):
            files = ", ".join(str(self._files[name]) for name in names)
            raise reference.error(f"nothing to draw in {files}. Write one text per line.")
        return lines

    def _file(self, name: str) -> tuple[_Line, ...]:
        if name not in self._read:
            path = self._files[name]
            try:
                text = path.read_bytes().decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise PromptError(f"wildcard file {path} is not UTF-8 text. Save it as UTF-8.") from error
            stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
            self._read[name] = tuple(
                _Line(path, number, line, *weighted(line))
                for number, line in stripped
                if line and not line.startswith("#")
            )
        return self._read[name]

    def _matching(self, name: str) -> list[str]:
        """The names of the files that a name in a prompt stands for.

        As in the Impact Pack ``*`` reaches into folders, ``hair/*`` includes ``hair`` itself, and a name without a
        folder that is not found as it stands is looked for in all folders.
        """
        if name in self._files:
            return [name]
        if "*" in name:
            return [file for file in self._files if fnmatchcase(file, name) or fnmatchcase(f"{file}/", name)]
        if "/" not in name:
            return [file for file in self._files if file.endswith(f"/{name}")]
        return []

    def _refuse_circles(self, name: str, trail: tuple[str, ...], reference: Reference) -> None:
        if name in trail:
            way = " → ".join((*trail[trail.index(name) :], name))
            raise reference.error(f"wildcard {name} leads back to itself ({way}). Take it out of one of these files.")
        if name in self._acyclic:
            return
        inner = mentioned("\n".join(line.text for line in self._file(name)))
        for target in sorted({file for each in inner for file in self._matching(each)}):
            self._refuse_circles(target, (*trail, name), reference)
        self._acyclic.add(name)

    def _unknown(self, name: str) -> str:
        plain = f"Plain text is written \\__{name}__."
        if not self._files:
            return f"no wildcard {name}: there are no wildcard files. {plain}"
        shortened = {file.rpartition("/")[2]: file for file in self._files}
        near = [shortened.get(each, each) for each in get_close_matches(name, [*self._files, *shortened], 5)]
        known = list(dict.fromkeys(near)) or sorted(self._files)[:5]
        return f"no wildcard {name}. {'Near it' if near else 'There is'}: {', '.join(known)}. {plain}"
