"""Which of the detected faces to work on, in what order, and why not the others."""

from __future__ import annotations

from .choosing import Choice, LeftOut, choose, report, summary
from .criteria import Criteria, SelectSettings
from .order import Order, ordered
from .picking import PickSettings, pick
from .picks import picks, share_of
from .places import places
from .region import overlaps
from .skipping import SkipSettings, reasons_to_skip

__all__ = [
    "Choice",
    "Criteria",
    "LeftOut",
    "Order",
    "PickSettings",
    "SelectSettings",
    "SkipSettings",
    "choose",
    "ordered",
    "overlaps",
    "pick",
    "picks",
    "places",
    "reasons_to_skip",
    "report",
    "share_of",
    "summary",
]
