"""The kinds of networks that are written here, because spandrel does not know them or runs them in a way that costs
accuracy. Each has a folder of its own."""

from __future__ import annotations

from . import codeformer, elir, gfpgan, gpen, hifacegan, restoreformer, visage, vqfr
from .network import Kind

KINDS: tuple[Kind, ...] = (
    restoreformer.KIND,
    vqfr.KIND,
    codeformer.KIND,
    gfpgan.KIND,
    elir.KIND,
    gpen.KIND,
    hifacegan.KIND,
    visage.KIND,
)
