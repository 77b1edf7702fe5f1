"""Resampling against OpenCV, between the two ways of doing it, and where it shrinks."""

import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from visage.faces import sampling
from visage.faces.geometry import apply, compose, resize_matrix
from visage.faces.sampling import area_resize, view
from visage.tests.pretend_device import DEVICE, pretended_device


def similarity(scale: float, degrees: float, x: float, y: float) -> torch.Tensor:
    turn = math.radians(degrees)
    a, b = scale * math.cos(turn), scale * math.sin(turn)
    return torch.tensor([[a, -b, x], [b, a, y]], dtype=torch.float64)


@pytest.fixture(scope="session")
def photograph(data: Path) -> torch.Tensor:
    picture = cv2.imread(str(data / "photos" / "dlib_faces" / "2008_002470.jpg"))
    return torch.from_numpy(picture[..., ::-1].astype(np.float32) / 255)


MATRICES = [similarity(1.7, 13, -200, -100), similarity(1.1, -40, 30, 100), similarity(3.3, 2, -700, -500)]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_enlarging_equals_opencv(photograph, matrix, interpolation) -> None:
    flag = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}[interpolation]
    reference = cv2.warpAffine(
        photograph.numpy(), matrix.numpy(), (256, 256), flags=flag, borderMode=cv2.BORDER_REPLICATE
    ).clip(0, 1)
    ours = view(photograph, matrix, 256, 256, interpolation).numpy()
    assert float(np.abs(ours - reference).mean()) * 255 <= 0.02


@pytest.mark.parametrize("matrix", [*MATRICES, similarity(0.4, 70, 50, 60), similarity(0.07, -160, 80, 80)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_opencv_and_grid_sample_are_one_function(matrix, interpolation, generator, monkeypatch) -> None:
    noise = torch.rand(300, 400, 3, generator=generator)
    fast = view(noise, matrix, 200, 180, interpolation)
    monkeypatch.setattr(sampling, "_opencv_is_exact", lambda: False)
    plain = view(noise, matrix, 200, 180, interpolation)
    assert float((fast - plain).abs().max()) * 255 < 0.05


def test_averaging_is_the_same_on_every_device(generator) -> None:
    picture = torch.rand(37, 53, 3, generator=generator)
    with pretended_device():
        elsewhere = area_resize(picture.to(DEVICE), 20, 31).cpu()
    assert torch.allclose(elsewhere, area_resize(picture, 20, 31), atol=1e-6)


@pytest.mark.parametrize("shrink", [2.0, 3.3, 7.0])
def test_shrinking_is_area_correct(photograph, shrink) -> None:
    """Nearer to the average over the area of each pixel than OpenCV's bilinear and cubic samples are."""
    side = int(230 / shrink)
    matrix = similarity(1 / shrink, 13, 0, 0)
    matrix[:, 2] += side / 2 - apply(matrix, torch.tensor([[250.0, 160.0]], dtype=torch.float64))[0]
    fine = cv2.warpAffine(
        photograph.numpy(), compose(resize_matrix(8), matrix).numpy(), (side * 8, side * 8), flags=cv2.INTER_CUBIC
    )
    truth = fine.reshape(side, 8, side, 8, 3).mean((1, 3))

    def error(picture: np.ndarray) -> float:
        return float(np.sqrt(((picture - truth) ** 2).mean()))

    ours = error(view(photograph, matrix, side, side).numpy())
    for flag in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        assert ours < 0.75 * error(cv2.warpAffine(photograph.numpy(), matrix.numpy(), (side, side), flags=flag))


def test_a_constant_stays_constant() -> None:
    grey = torch.full((90, 70, 3), 0.37)
    for scale in (0.03, 0.5, 1.0, 4.0):
        assert torch.allclose(view(grey, similarity(scale, 25, 5, -3), 60, 60), torch.tensor(0.37), atol=1e-5)


def test_the_middle_of_a_dot_stays_where_it_belongs() -> None:
    """Half a pixel of shift would show at once."""
    y, x = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij")
    dot = torch.exp(-((x - 80.3) ** 2 + (y - 120.6) ** 2) / (2 * 4**2))[..., None]
    for scale, degrees in ((0.2, 0), (0.45, 33), (1.0, -70), (2.7, 10)):
        matrix = similarity(scale, degrees, 0, 0)
        matrix[:, 2] += 64 - apply(matrix, torch.tensor([[85.0, 115.0]], dtype=torch.float64))[0]
        seen = view(dot, matrix, 128, 128)[..., 0].double()
        rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
        centre = torch.stack([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
        wanted = apply(matrix, torch.tensor([[80.3, 120.6]], dtype=torch.float64))[0]
        assert float((centre - wanted).abs().max()) < 0.02


def test_beyond_the_border_the_image_goes_on() -> None:
    picture = torch.zeros(20, 20, 3)
    picture[:, -1] = 1
    outside = view(picture, similarity(1, 0, -100, 0), 8, 8)
    assert torch.equal(outside, torch.ones(8, 8, 3))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (5, 1), (2, 2)])
def test_tiny_images(height, width, generator) -> None:
    picture = torch.rand(height, width, 3, generator=generator)
    for scale in (0.1, 1.0, 30.0):
        seen = view(picture, similarity(scale, 20, 0, 0), 16, 16)
        assert seen.shape == (16, 16, 3)
        assert bool(seen.isfinite().all())


def test_half_precision_is_read_as_float(generator) -> None:
    picture = torch.rand(40, 40, 3, generator=generator).half()
    matrix = similarity(1.5, 12, 0, 0)
    assert torch.equal(view(picture, matrix, 32, 32), view(picture.float(), matrix, 32, 32))


def test_a_shift_by_whole_pixels_copies(generator) -> None:
    picture = torch.rand(30, 40, 3, generator=generator)
    written = torch.empty(10, 12, 3)
    shifted = view(picture, torch.tensor([[1, 0, -5], [0, 1, -7]], dtype=torch.float64), 10, 12, out=written)
    assert shifted is written
    assert torch.allclose(shifted, picture[7:17, 5:17], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_every_kind_of_number_is_shrunk(generator, channels: int, dtype: torch.dtype) -> None:
    picture = (255 * torch.rand(60, 80, channels, generator=generator)).to(dtype)
    means = picture.double().reshape(20, 3, 20, 4, channels).mean((1, 3))
    assert float((area_resize(picture, 20, 20).double() - means).abs().max()) < (1 if dtype == torch.uint8 else 1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_lack_of_memory_while_shrinking_is_one() -> None:
    # OpenCV has an error of its own for it.
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from visage.faces.sampling import area_resize\n"
        "picture = torch.zeros(6000, 6000, 3)\n"
        "area_resize(picture[:64, :64], 32, 32)\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, used + 2**24))\n"
        "try:\n"
        "    area_resize(picture, 3000, 3000)\n"
        "except MemoryError:\n"
        "    print('short')\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stdout == "short\n", run.stderr
