"""Names that docstrings and comments refer to, as Sphinx has them, are there: read from the sources alone."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py")])
REFERENCE = re.compile(r":(?:mod|class|func|meth|attr|data|exc):`(?:[^`<]*<)?~?([\w.]+)>?`")


def names_bound_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    # Variables, and attributes such as self.unit.
    return {
        one.id if isinstance(one, ast.Name) else one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Store)
    }


@cache
def names_in(module: Path) -> set[str]:
    """What a file defines: its own names, those of its classes alone, and the same after the name of the class."""
    found: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        found |= names_bound_by(node)
        for inner in ast.walk(node) if isinstance(node, ast.ClassDef) else ():
            found |= {name for one in names_bound_by(inner) for name in (one, f"{node.name}.{one}")}
    return found


def leads_somewhere(reference: str, source: Path) -> bool:
    """Whether a name that ``source`` refers to is there: dots at its front are those of relative imports."""
    path = reference.lstrip(".")
    dots = len(reference) - len(path)
    if not dots and not path.startswith("visage."):
        return path in names_in(source) or is_of_another_module(path, source)
    here = ROOT if not dots else source.parents[dots - 1]
    parts = path.split(".")[0 if dots else 1 :]
    while parts and (here / parts[0]).is_dir():
        here /= parts.pop(0)
    if parts and (here / f"{parts[0]}.py").is_file():
        here /= f"{parts.pop(0)}.py"
    module, name = (here if here.is_file() else here / "__init__.py"), ".".join(parts)
    return not name or name in names_in(module) or is_of_another_module(name, module)


def is_of_another_module(name: str, module: Path) -> bool:
    """Whether a name such as ``Class.method`` is there where the file imports the class from."""
    imports = [node for node in ast.parse(module.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return "." in name and any(
        leads_somewhere(f"{'.' * node.level}{node.module}.{name}", module)
        for node in imports
        if name.partition(".")[0] in names_bound_by(node)
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_referred_to_is_there(source: Path) -> None:
    named = REFERENCE.findall(source.read_text(encoding="utf-8"))
    assert [name for name in named if not leads_somewhere(name, source)] == []
