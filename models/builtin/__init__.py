"""The weights that come with Visage, so that it works with nothing downloaded. ``models/cards`` describes them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
DETECTOR = "visage-detect"
RESTORER = "visage-restore"
