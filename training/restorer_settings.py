"""How the built-in restorer is trained: what decides the result, and what is chosen for a CPU and for a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RestorerSettings:
    """A run of :mod:`.restorer`. What is here decides the result; device and pieces do not, but for rounding.

    Attributes:
        widths, blocks, normed: as :class:`~..models.restorers.visage.VisageRestorer`.
        steps: length of the run.
        part: side in pixels of the parts of faces, a multiple of the network's unit.
        parts, wholes: how many parts, and how many whole faces, make a share of a batch.
        shares: of a batch, each a thread's. Where torch has one thread they are quicker than one share that it spreads
            over as many cores.
        log_from: share of the run after which the logarithm of the error of pixels counts, the relative one before.
        whole_from: share of the run after which faces are whole and identity counts.
        sizes: different shrinkings in a batch at most; fewer are quicker on a GPU.
        rate: peak of the learning rate.
        warm_up: steps until it is reached.
        decay: of the averaged weights.
        texture, identity, adversarial: weights of the losses beside the error of pixels, which counts 1.
        texture_from: share of the run after which the strength of textures counts: what is not yet there at all only
            hinders before.
        adversarial_from: share of the run after which the discriminator is there; its say grows over the next tenth.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    steps: int
    parts: int
    wholes: int
    shares: int = 1
    normed: bool = True
    part: int = 256
    log_from: float = 0.5
    whole_from: float = 0.75
    sizes: int = 8
    rate: float = 4e-4
    warm_up: int = 200
    decay: float = 0.999
    texture: float = 0.5
    texture_from: float = 0.4
    identity: float = 0.05
    adversarial: float = 0.0
    adversarial_from: float = 0.4
    discriminator_width: int = 32
    seed: int = 0


PRESETS = {
    # Two cores without bfloat16: two hours by the pace of its steps; not run to its end. Many small steps learn more
    # than few large ones here, but with fewer parts the optimiser takes half of the time. Without a discriminator the
    # strength of textures is met by a regular pattern: it does not count.
    "cpu": RestorerSettings(
        widths=(32, 64, 128, 256),
        blocks=(2, 2, 2, 4),
        steps=9000,
        parts=4,
        shares=2,
        wholes=1,
        sizes=4,
        whole_from=0.8,
        rate=1e-3,
        warm_up=100,
        texture=0.0,
        identity=0.1,
    ),
    # A GPU of the data centre. Not run yet; its length is a guess at a quarter of an hour.
    "gpu": RestorerSettings(
        widths=(64, 128, 192, 256),
        blocks=(2, 3, 4, 4),
        steps=9000,
        rate=1e-3,
        parts=64,
        wholes=16,
        adversarial=0.005,
        discriminator_width=64,
        sizes=12,
    ),
}
