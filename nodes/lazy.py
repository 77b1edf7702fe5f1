"""Which lazy inputs ComfyUI has to evaluate still: for ``check_lazy_status``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def missing(inputs: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are connected and not there yet.

    Args:
        inputs: those that are connected, by name; ``None`` where one is not there yet.
    """
    return [name for name in names if name in inputs and inputs[name] is None]
