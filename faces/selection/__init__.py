"""Which of the detected faces to work on, in what order, and why not the others."""

from __future__ import annotations

from .choosing import Choice, LeftOut, choice_report, choice_summary, choose
from .criteria import Criteria, SelectSettings
from .order import Order, ordered
from .picking import PickSettings, pick
from .picks import box_in_percent, parse_picks
from .places import parse_places
from .region import shares_in_region
from .skipping import SkipSettings, reasons_to_skip, without_skipped

__all__ = [
    "Choice",
    "Criteria",
    "LeftOut",
    "Order",
    "PickSettings",
    "SelectSettings",
    "SkipSettings",
    "box_in_percent",
    "choice_report",
    "choice_summary",
    "choose",
    "ordered",
    "parse_picks",
    "parse_places",
    "pick",
    "reasons_to_skip",
    "shares_in_region",
    "without_skipped",
]
