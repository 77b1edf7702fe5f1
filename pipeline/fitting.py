"""Whether other pictures and masks fit the frames that faces were found in."""

from __future__ import annotations

from torch import Tensor


def check_enlargement(what: str, canvas: Tensor, batch: int, width: int, height: int) -> None:
    """Raises ``ValueError`` unless ``canvas`` shows ``batch`` frames of ``width`` x ``height`` at some size."""
    across, down = canvas.shape[2] / width, canvas.shape[1] / height
    # Rounding to whole pixels may change a side by half a pixel.
    rounding = 0.5 / width + 0.5 / height
    if canvas.shape[0] != batch or abs(across - down) > rounding:
        raise ValueError(
            f"The {what} has {canvas.shape[0]} picture(s) of {canvas.shape[2]}x{canvas.shape[1]}, which is no "
            f"enlargement of the {batch} of {width}x{height} that the faces were found in."
        )


def fitting_region(frames: Tensor, region: Tensor, what: str = "the mask") -> Tensor:
    """The region as ``[B or 1, H, W]`` 0..1, or an error that says what does not fit; ``what`` names it."""
    if region.ndim == 2:
        region = region[None]
    if region.shape[1:] != frames.shape[1:3] or region.shape[0] not in (1, frames.shape[0]):
        raise ValueError(
            f"The size of {what} is {region.shape[0]} x {region.shape[2]}x{region.shape[1]}, of the image "
            f"{frames.shape[0]} x {frames.shape[2]}x{frames.shape[1]}. Connect a mask of the same size."
        )
    if not bool(region.isfinite().all()):
        raise ValueError(f"There are values in {what} that are no numbers (NaN or infinite). Check the node before it.")
    return region.clamp(0, 1)
