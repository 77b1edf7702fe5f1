"""The second network of visage-detect: what it sees, what becomes of its answers, and its training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from visage.models.detectors import load_detector
from visage.models.detectors import visage_proposer as proposer_module
from visage.models.detectors.face_views import Views, seen, views_of
from visage.models.detectors.visage_finder import VisageDetect
from visage.models.detectors.visage_landmarks import FRAMING, LandmarkNetwork
from visage.models.detectors.visage_proposer import VisageCascade, VisageProposer, build_visage
from visage.models.host import TorchHost
from visage.models.weights import WeightsError
from visage.training import checkpoints
from visage.training.checkpoints import Checkpoint
from visage.training.composites import CompositeRecipe
from visage.training.detector_export import export
from visage.training.landmarks import LandmarkJob, LandmarkPlan
from visage.training.run import CHECKPOINT, Pace, run

from .test_training_detector import TINY, sources, tiny

__all__ = ["sources"]
HOST = TorchHost("cpu", quiet=True)
WIDTHS = (4, 4, 8)


def stirred(seed: int = 0) -> LandmarkNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LandmarkNetwork(WIDTHS, normalised=True)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
        nn.init.normal_(network.tell.weight, std=0.02)
    return network.eval()


def placed(angle: float, scale: float, at: tuple[float, float]) -> Tensor:
    """``[1, 5, 2]``: a mean face turned, enlarged and moved."""
    turn = torch.tensor([[math.cos(angle), math.sin(angle)]]) * scale
    return Views(FRAMING.side, turn, torch.tensor([at])).to_picture(FRAMING.mean_face(turn)[None])


def test_fusing_changes_nothing() -> None:
    network = stirred()
    views = torch.rand(3, 3, FRAMING.side, FRAMING.side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for one, other in zip(network(views), network.fused()(views), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.fused().modules())


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_a_view_shows_a_mean_face_at_its_place(angle: float, scale: float) -> None:
    landmarks = placed(angle, scale, (70.0, 90.0))
    views = views_of(landmarks, FRAMING)
    torch.testing.assert_close(views.turn, torch.tensor([[math.cos(angle), math.sin(angle)]]) * scale)
    torch.testing.assert_close(views.to_view(landmarks)[0], FRAMING.mean_face(landmarks), atol=1e-3, rtol=0)
    torch.testing.assert_close(views.to_picture(views.to_view(landmarks)), landmarks, atol=1e-3, rtol=0)


def test_landmarks_in_one_point_make_no_trouble() -> None:
    views = views_of(torch.full((1, 5, 2), 12.0), FRAMING)
    shown = seen(torch.rand(1, 3, 64, 64), torch.zeros(1, dtype=torch.int64), views)
    assert shown.isfinite().all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.5])
def test_what_is_seen_lies_where_the_view_says(scale: float) -> None:
    """A ramp of brightness tells for every pixel of the view where in the picture it was read."""
    place = (torch.arange(320) + 0.5) / 320
    pictures = torch.stack((place.expand(320, 320), place[:, None].expand(320, 320), place.new_zeros(320, 320)))[None]
    views = views_of(placed(0.4, scale, (160.0, 40.0)), FRAMING)
    shown = seen(pictures.repeat(2, 1, 1, 1), torch.tensor([1]), views)
    corners = torch.tensor([[[10.5, 10.5], [50.5, 20.5], [30.5, 60.5]]])
    expected = views.to_picture(corners)[0] / 320
    found = torch.stack([shown[0, :2, int(y), int(x)] for x, y in corners[0].tolist()])
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_views_of_many_pictures_are_those_of_each_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    pictures = torch.rand(3, 3, 128, 192, generator=generator)
    landmarks = torch.cat([placed(0.2 * index, 0.5 + 0.6 * index, (90.0, 60.0)) for index in range(4)])
    owners = torch.tensor([0, 0, 2, 2])
    together = seen(pictures, owners, views_of(landmarks, FRAMING))
    for index, owner in enumerate(owners.tolist()):
        alone = seen(pictures[owner][None], torch.tensor([0]), views_of(landmarks[index][None], FRAMING))
        torch.testing.assert_close(together[index], alone[0])


def test_a_view_and_its_mirror_image_are_told_the_same() -> None:
    network = stirred().eval()
    views = torch.rand(3, 3, FRAMING.side, FRAMING.side)
    with torch.no_grad():
        landmarks, logits = network.seen_twice(views)
        mirrored, same = network.seen_twice(views.flip(-1))
        once, _ = network(views)
    torch.testing.assert_close(same, logits)
    back = mirrored[:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1.0]) + torch.tensor([float(FRAMING.side), 0.0])
    torch.testing.assert_close(back, landmarks, atol=1e-4, rtol=0)
    assert (once - landmarks).abs().max() > 1e-2


def test_both_networks_come_back_from_a_file(tmp_path: Path) -> None:
    detect, points = tiny().fused(), stirred().fused()
    export(detect, points, tmp_path / "both.safetensors")
    detector = load_detector(tmp_path / "both.safetensors", HOST)
    assert detector.proposer.resident is not None
    loaded = detector.proposer.resident.module
    assert isinstance(loaded, VisageCascade) and loaded.points is not None
    assert (loaded.detect.widths, loaded.points.widths) == (TINY, WIDTHS)
    views = torch.rand(2, 3, FRAMING.side, FRAMING.side)
    torch.testing.assert_close(loaded.points(views)[0], points(views)[0], atol=0.1, rtol=0)
    tensors = VisageCascade(detect, points).state_dict()
    del tensors["points.gather.weight"]
    with pytest.raises(WeightsError, match=r"a\.safetensors looks like visage-detect"):
        build_visage("a.safetensors", tensors)


def test_the_second_look_has_its_say_in_what_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    detect, points = tiny().fused(), stirred().fused()
    pictures = torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(4))
    first = VisageProposer("x", VisageCascade(detect, None).state_dict(), HOST)
    both = VisageProposer("x", VisageCascade(detect, points).state_dict(), HOST)
    all_of_it = both.propose(pictures, 1e-9, 0.4)
    # Boxes with the same landmarks are one face.
    assert all(
        0 < len(one) <= len(alone) for one, alone in zip(all_of_it, first.propose(pictures, 1e-9, 0.4), strict=True)
    )
    assert all(one.scores.diff().max() <= 0 for one in all_of_it)
    # Sure enough is what is so in the end.
    monkeypatch.setattr(proposer_module, "_LEAST_FIRST", 1e-9)
    least = float(all_of_it[0].scores.median())
    surest = both.propose(pictures, least, 0.4)[0]
    assert len(surest) == int((all_of_it[0].scores >= least).sum())


@pytest.fixture
def finder() -> VisageProposer:
    """Sees faces everywhere."""
    network = tiny().fused()
    network.predict.weight[0], network.predict.bias[0] = 0, 2
    return VisageProposer("x", VisageCascade(network, None).state_dict(), HOST)


def plan(steps: int) -> LandmarkPlan:
    return LandmarkPlan(
        CompositeRecipe(side=64, largest=60.0), batch=2, steps=steps, rate=3e-3, sheet=128, widths=WIDTHS
    )


def test_a_batch_says_which_found_boxes_are_faces(sources: object, finder: VisageProposer) -> None:
    job = LandmarkJob(plan(1), sources, finder, torch.device("cpu"))  # type: ignore[arg-type]
    batches = [job.batch(1, number) for number in range(4)]
    kinds = torch.cat([batch.faces for batch in batches])
    assert set(kinds.tolist()) <= {-1.0, 0.0, 1.0} and (kinds == 0).any()
    assert all(len(batch.views) == len(batch.faces) == len(batch.points) for batch in batches)


def test_training_goes_on_where_it_stopped_and_learns(tmp_path: Path, sources: object, finder: VisageProposer) -> None:
    def job() -> LandmarkJob:
        return LandmarkJob(plan(4), sources, finder, torch.device("cpu"))  # type: ignore[arg-type]

    whole = job()
    run(whole, tmp_path / "whole", Pace())
    first = job()
    for number in range(2):
        first.step(number)
    checkpoints.save(tmp_path / "pieces" / CHECKPOINT, Checkpoint(2, first.settings, first.state()))
    piece = job()
    run(piece, tmp_path / "pieces", Pace())
    for ours, theirs in ((piece.network, whole.network), (piece.average.module, whole.average.module)):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    again = LandmarkJob(plan(100), sources, finder, torch.device("cpu"))  # type: ignore[arg-type]
    losses = [float(sum(again.step(30).values())) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    again.begin_with(whole.state()["average"])
    assert all(map(torch.equal, again.network.state_dict().values(), whole.average.module.state_dict().values()))
    assert isinstance(again.finished(), LandmarkNetwork) and isinstance(finder.resident.module.detect, VisageDetect)
