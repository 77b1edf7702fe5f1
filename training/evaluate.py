"""Measures the built-in networks: ``python -m visage.training.evaluate restorer --help``, and so on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from . import detector_evaluation, restorer_evaluation

_PARTS: dict[str, Callable[[Sequence[str]], None]] = {
    "detector": detector_evaluation.main,
    "restorer": restorer_evaluation.main,
}


def main(arguments: Sequence[str]) -> None:
    """The command: which network, and the options of its evaluation."""
    if not arguments or arguments[0] not in _PARTS:
        sys.exit(f"Name what to measure first: {' or '.join(_PARTS)}.")
    _PARTS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
