"""Where the data for training, measuring and testing lies; ``docs/data.md`` tells what belongs there."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "VISAGE_DATA"


def data_folder() -> Path:
    """The folder that ``VISAGE_DATA`` names, else ``shared/data`` beside the checkout. It may not exist."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path(__file__).resolve().parents[2] / "shared" / "data"
