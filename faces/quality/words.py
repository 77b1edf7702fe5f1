"""Words for the quality of a face.

The thresholds were measured on 65 aligned faces of 512 pixels, every third of those that the built-in restorer is
evaluated with, as they are and after one kind of damage each (``training/degradations.py``):

| word        | from            | faces as they are | after damage                                                 |
|-------------|-----------------|-------------------|--------------------------------------------------------------|
| sharp       | sharpness 0.7   | all               | level mild 96 %, medium 19 %, strong 2 %                     |
| soft        | sharpness 0.47  | none              | blur of 2 px 61 %; level mild 4 %, medium 68 %, strong 28 %  |
| blurred     | below that      | none              | blur of 4 px 92 %; level mild none, medium 13 %, strong 70 % |
| noisy       | noise 2.5       | none, at most 0.9 | noise of 2 levels none, of 5 levels all, at least 3.4        |
| JPEG blocks | blockiness 0.46 | none              | quality 80 2 %, 70 5 %, 60 35 %, 50 82 %, 30 all             |
| dark        | brightness 0.2  | none, at least .3 | half the light 5 %, three tenths of it all                   |
| overexposed | white 0.1       | none, at most .01 | one and a half times the light all                           |
"""

from __future__ import annotations

from collections.abc import Iterator

from .measuring import FaceQuality

_SHARP, _SOFT = 0.7, 0.47
_NOISY = 2.5
_BLOCKY = 0.46
_DARK = 0.2
_OVEREXPOSED = 0.1


def words(quality: FaceQuality) -> tuple[str, ...]:
    """How sharp a face is, then what is wrong with its picture; empty where nothing could be measured."""
    return tuple(_words(quality))


def _words(quality: FaceQuality) -> Iterator[str]:
    if quality.sharpness is not None:
        yield "sharp" if quality.sharpness >= _SHARP else "soft" if quality.sharpness >= _SOFT else "blurred"
    if quality.noise is not None and quality.noise >= _NOISY:
        yield "noisy"
    if quality.blockiness is not None and quality.blockiness >= _BLOCKY:
        yield "JPEG blocks"
    if quality.brightness is not None and quality.brightness < _DARK:
        yield "dark"
    if quality.white is not None and quality.white >= _OVEREXPOSED:
        yield "overexposed"
