"""Texture, losses, and the identity network against OpenCV's run of the same file."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from visage.faces.alignment import ARCFACE, FFHQ
from visage.models.embedders.onnx_graph import Attributes, Graph, Node
from visage.models.embedders.onnx_network import OnnxNetwork
from visage.models.restorers.visage.bands import SIGMAS, bands, gaussian, luma
from visage.training import losses
from visage.training.identity import Identity
from visage.training.pictures import as_float, picture_files, read_pictures
from visage.training.texture import energies


def test_gaussian_is_that_of_opencv(generator: torch.Generator) -> None:
    image = torch.rand((1, 1, 40, 57), generator=generator)
    for sigma in (1.0, 3.5):
        side = 2 * math.ceil(3 * sigma) + 1
        theirs = cv2.GaussianBlur(image[0, 0].numpy(), (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
        assert np.abs(gaussian(image, sigma)[0, 0].numpy() - theirs).max() < 1e-5


def test_bands_add_up_to_the_picture(generator: torch.Generator) -> None:
    images = torch.rand((2, 3, 48, 48), generator=generator)
    coarse = gaussian(luma(images), SIGMAS[-1])
    # Blurring in steps cuts each kernel off at three deviations, and repeats the border at each.
    difference = (sum(bands(images)) + coarse - luma(images))[..., 14:-14, 14:-14]
    assert difference.abs().max() < 5e-3


def test_what_restoring_leaves_in_memory_does_not_stop_training(generator: torch.Generator) -> None:
    """Sides that no other test has, so that the kernels are made here."""
    images = torch.rand((1, 3, 37, 53), generator=generator)
    with torch.inference_mode():
        bands(images)
    trained = images.clone().requires_grad_()
    bands(trained)[0].square().sum().backward()
    assert trained.grad is not None
    assert trained.grad.abs().max() > 0


def test_energy_of_a_wave_lies_in_its_band() -> None:
    x = torch.arange(256.0)
    for wavelength, expected in ((3, 0), (9, 1), (20, 2)):
        wave = 0.5 + 0.2 * torch.sin(2 * torch.pi * x / wavelength)
        found = energies(wave.expand(1, 3, 256, 256))[0]
        assert found.argmax() == expected
    # Far above the finest Gaussian all of the wave's power, half its height squared, is in the finest band.
    wave = 0.5 + 0.2 * torch.sin(2 * torch.pi * x / 2.5)
    assert energies(wave.expand(1, 3, 256, 256))[0, 0].item() == pytest.approx(0.02, rel=0.1)


def test_texture_strength_asks_for_strength_and_not_for_phase(generator: torch.Generator) -> None:
    truth = 0.5 + 0.05 * torch.randn((1, 3, 128, 128), generator=generator)
    other = 0.5 + 0.05 * torch.randn((1, 3, 128, 128), generator=generator)
    smooth, rough = torch.full_like(truth, 0.5), 0.5 + 2 * (truth - 0.5)
    same, like, less, more = (losses.texture_strength(one, truth).item() for one in (truth, other, smooth, rough))
    assert same == 0
    assert like < 0.2 * less
    assert more == pytest.approx(less, rel=0.1)
    # A difference of pixels would have it the other way round.
    assert losses.log_error(smooth, truth) < losses.log_error(other, truth)


def test_texture_strength_has_gradients_where_there_is_none() -> None:
    smooth = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    losses.texture_strength(smooth, torch.rand(1, 3, 64, 64)).backward()
    assert smooth.grad is not None
    assert smooth.grad.isfinite().all()


def test_errors_count_by_what_they_are_to_what_they_were() -> None:
    """Half the error gains the same wherever it is; what cannot be seen gains nothing."""
    truth = torch.zeros(1, 3, 4, 4)
    gains = [
        (losses.log_error(truth + error, truth) - losses.log_error(truth + error / 2, truth)).item()
        for error in (0.4, 0.1, 1e-4)
    ]
    assert gains[0] == pytest.approx(0.03 * math.log(2), rel=1e-3)
    assert gains[1] == pytest.approx(gains[0], rel=0.02)
    assert gains[2] < 0.001 * gains[0]
    far, near = truth + 0.2, truth + 0.1
    both = losses.log_error(torch.cat([far, near]), torch.cat([truth, truth]))
    assert both.item() == pytest.approx((losses.log_error(far, truth) + losses.log_error(near, truth)).item() / 2)


def test_pictures_count_by_the_share_of_their_damage_that_is_left(generator: torch.Generator) -> None:
    truth = torch.full((1, 3, 32, 32), 0.5)
    error = torch.randn(truth.shape, generator=generator)

    def left(damage: float, share: float) -> float:
        return losses.relative_error(truth + share * damage * error, truth, truth + damage * error).item()

    assert left(0.2, 0.5) / left(0.2, 1.0) == pytest.approx(0.5, rel=1e-3)
    # Four times the damage counts little more, not four times as much.
    assert left(0.2, 0.5) < 1.25 * left(0.05, 0.5)
    # A picture without damage has no steep slope that would teach to leave all of them alone.
    same = truth.clone().requires_grad_()
    losses.relative_error(same + 0.001 * error, truth, truth).backward()
    badly = truth.clone().requires_grad_()
    losses.relative_error(badly + 0.05 * error, truth, truth + 0.05 * error).backward()
    assert same.grad is not None
    assert badly.grad is not None
    assert same.grad.norm() < 5 * badly.grad.norm()


def test_hinge_and_identity_are_their_formulas() -> None:
    true, made = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert losses.discriminator_loss(true, made).item() == pytest.approx(0.25 + 0.5)
    assert losses.generator_loss(made).item() == 1.5
    same = torch.eye(2)
    assert losses.identity_loss(same, same).item() == 0
    assert losses.identity_loss(same, same.flip(0)).item() == 1


def test_unknown_onnx_operations_are_named() -> None:
    node = Node("Softmax", ("x",), "y", Attributes())
    with pytest.raises(ValueError, match="Softmax"):
        OnnxNetwork(Graph([node], {}))


@pytest.fixture(scope="module")
def faces(data: Path) -> torch.Tensor:
    return as_float(read_pictures(picture_files(data / "faces512" / "val")[:3]))


def test_identity_is_that_of_opencv_on_real_faces(data: Path, faces: torch.Tensor) -> None:
    path = data / "weights" / "MobileFaceNet.onnx"
    identity = Identity(path)
    theirs = cv2.dnn.readNetFromONNX(str(path))
    crops = torch.nn.functional.interpolate(faces, (112, 112), mode="area")
    for crop in crops:
        theirs.setInput((crop * 2 - 1)[None].numpy())
        expected = torch.from_numpy(np.array(theirs.forward()))
        assert (identity.network(crop[None] * 2 - 1) - expected).abs().max() < 1e-4


def test_identity_takes_the_arcface_crop_and_has_gradients(data: Path, faces: torch.Tensor) -> None:
    identity = Identity(data / "weights" / "MobileFaceNet.onnx")
    assert len(list(identity.parameters())) == 0
    # The grid lands on FFHQ's landmarks where ArcFace has them.
    places = ((identity.grid[0] + 1) / 2 * FFHQ.size - 0.5).double()
    for (x, y), wanted in zip(ARCFACE.points, FFHQ.points, strict=True):
        found = places[round(y), round(x)]
        assert (found - torch.tensor(wanted)).norm() < 10
    given = faces.clone().requires_grad_()
    embeddings = identity(given)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3))
    others = embeddings @ embeddings.T - torch.eye(3)
    assert others.max() < 0.6
    blurred = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(faces, (8,) * 4, mode="reflect"), 17, 1)
    assert losses.identity_loss(identity(blurred), embeddings.detach()) > 0.1
    losses.identity_loss(embeddings, embeddings.detach().roll(1, 0)).backward()
    assert given.grad is not None
    assert given.grad.abs().max() > 0
