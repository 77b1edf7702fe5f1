"""All settings of restoring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..faces.selection import SkipSettings
from ..fields import setting
from ..models.restorers import RestoreOptions
from .blending import BlendSettings

Alignment = Literal["model", "ffhq"]


@dataclass(frozen=True)
class RestoreSettings:
    """How faces are restored and put back.

    Attributes:
        options: what is asked of the restorer.
        blend: how restored crops are put back.
        skip: which faces are left alone.
        alignment: how faces lie in the crops: as the restorer was trained, or as in FFHQ, to compare restorers or to
            get what programs give that know no other template.
        grain: how much of the frame's grain and fine texture stays on restored faces, 0..1.
        on_error: whether a face that the network fails on stops the work or is left as it was and reported.
    """

    options: RestoreOptions = field(default_factory=RestoreOptions)
    blend: BlendSettings = field(default_factory=BlendSettings)
    skip: SkipSettings = field(default_factory=SkipSettings)
    alignment: Alignment = setting(
        "model",
        "How faces are aligned in the crops that the restorer sees. model: as it was trained; GPEN's crops are wider "
        "than the others'. ffhq: the same for all, as in programs that know FFHQ's alignment alone.",
        advanced=True,
        optional=True,
    )
    grain: float = setting(
        0.25,
        "How much of the image's own grain and fine skin texture stays where the restorer took it away. More against "
        "skin like plastic; 0 for faces as clean as the restorer makes them.",
        low=0.0,
        high=1.0,
        step=0.05,
        optional=True,
    )
    on_error: Literal["stop", "skip"] = "stop"
