"""The built-in restorer: its network, its training that stops and goes on, its file, and how it is measured."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from safetensors import safe_open
from torch import nn
from visage.models.host import TorchHost
from visage.models.restorers import load_restorer
from visage.models.restorers.options import RestoreOptions
from visage.models.restorers.visage import SIDE, VisageRestorer, layout
from visage.models.restorers.visage.bands import bands
from visage.training import checkpoints
from visage.training.restorer import RestorerJob, begun_with
from visage.training.restorer_evaluation import SHARP, as_they_are, contact_sheet, evaluate, report, restoring
from visage.training.restorer_export import MOST_BYTES, export
from visage.training.restorer_measures import Measures, measure, table
from visage.training.restorer_settings import PRESETS, RestorerSettings
from visage.training.run import CHECKPOINT, Pace, run
from visage.training.sharpness import SharpnessJob, SharpnessSettings, weakness

J = TypeVar("J", RestorerJob, SharpnessJob)
TINY = RestorerSettings(
    widths=(8, 8, 12), blocks=(1, 0, 1), steps=6, parts=2, wholes=1, part=64, warm_up=2, whole_from=0.6
)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small only wait for a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Means(nn.Module):
    """Stands in for the identity network: 16 means of the picture, as a vector of length 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)
        return nn.functional.normalize(means - means.mean(1, keepdim=True) + 1e-3, dim=1)


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    coarse = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    return (nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").clamp(0, 1) * 255).byte()


def job(faces: torch.Tensor, settings: RestorerSettings = TINY) -> RestorerJob:
    return RestorerJob(settings, faces, Means(), torch.device("cpu"))


def stopped_before(number: int, trained: J) -> J:
    """The job, which Ctrl-C ends before that step."""
    go_on = trained.step

    def step(at: int) -> dict[str, torch.Tensor]:
        if at == number:
            raise KeyboardInterrupt
        return go_on(at)

    trained.step = step
    return trained


def fresh(settings: RestorerSettings) -> VisageRestorer:
    return VisageRestorer(settings.widths, settings.blocks).reset(torch.Generator().manual_seed(0))


@pytest.fixture
def stirred() -> VisageRestorer:
    network = fresh(TINY).eval()
    chance = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=chance)
    return network


def test_a_fresh_network_hands_on_its_input_bit_by_bit(generator: torch.Generator) -> None:
    images = torch.rand((2, 3, 96, 64), generator=generator)
    assert torch.equal(fresh(TINY)(images), images)


def test_a_trained_network_changes_what_it_gets(stirred: VisageRestorer, generator: torch.Generator) -> None:
    images = torch.rand((1, 3, 64, 64), generator=generator)
    assert (stirred(images) - images).abs().max() > 0.01


def test_no_resolution_drowns_what_is_kept_of_the_finer_one(generator: torch.Generator) -> None:
    """Whatever the weights between them: features used to grow from one to the next, to fifty times those kept."""
    network = VisageRestorer((16, 16, 16, 16), (1, 1, 1, 1)).reset(generator).eval()
    for layer in (*network.shrink, *network.grow):
        layer.weight.data *= 3
    seen: list[float] = []
    for stage in (*network.down, network.middle, *reversed(network.up)):
        stage.register_forward_hook(lambda _stage, given, _made: seen.append(given[0].std().item()))
    network.likeliest(torch.rand((1, 3, 128, 128), generator=generator))
    assert len(seen) == 7
    assert max(seen[1:]) < 2 * min(seen[1:])


def test_a_network_without_norms_is_known_by_its_tensors() -> None:
    plain = VisageRestorer((8, 8, 12), (1, 0, 1), normed=False)
    assert layout(plain.state_dict()) == ([8, 8, 12], [1, 0, 1], False)
    normed = VisageRestorer((8, 8, 12), (1, 0, 1))
    assert layout(normed.state_dict()) == ([8, 8, 12], [1, 0, 1], True)


def test_a_network_begins_with_the_weights_of_a_smaller_one(stirred: VisageRestorer, faces: torch.Tensor) -> None:
    deeper = replace(TINY, blocks=(2, 1, 2), rate=1e-3, warm_up=1)
    begun = RestorerJob(deeper, faces, Means(), torch.device("cpu"), stirred.state_dict())
    images = faces[:1].float() / 255
    with torch.no_grad():
        # Norms and sums of as many terms in another order.
        torch.testing.assert_close(begun.network(images), stirred(images), atol=1e-5, rtol=0)
    for number in range(3):
        begun.step(number)
    assert all(block.narrow.weight.abs().max() > 0 for block in begun.network.up[0])
    with pytest.raises(ValueError, match="Give the same widths"):
        begun_with(VisageRestorer((8, 12, 12), (1, 0, 1)), stirred.state_dict())


def test_the_logarithm_counts_from_the_share_of_the_run_that_was_asked_for(faces: torch.Tensor) -> None:
    """Both begin alike, so that only the kind of error can make them differ."""
    early, late = job(faces, replace(TINY, log_from=0.0)), job(faces, replace(TINY, log_from=0.5))
    told = [[trained.step(number)["pixels"].item() for number in range(4)] for trained in (early, late)]
    assert all(error < 0 for error in told[0])
    assert [error < 0 for error in told[1]] == [False] * 3 + [True]


def test_gains_make_fine_bands_stronger_and_nothing_else(stirred: VisageRestorer, generator: torch.Generator) -> None:
    images = torch.rand((1, 3, 128, 128), generator=generator)
    nn.init.zeros_(stirred.gain.weight)
    stirred.gain.bias.data = torch.tensor([2.0, 1.0, 0.5]).log()
    with torch.no_grad():
        plain, once, twice = (stirred(images, amount=amount) for amount in (0.0, 1.0, 2.0))
    assert torch.equal(plain, stirred(images))
    fine, middle, coarse = bands(plain)
    torch.testing.assert_close(once, plain + fine - 0.5 * coarse, atol=1e-4, rtol=0)
    torch.testing.assert_close(twice, plain + 3 * fine - 0.75 * coarse, atol=1e-4, rtol=0)
    assert middle.abs().max() > 0.01


def of_full_contrast(faces: torch.Tensor) -> torch.Tensor:
    """0..1, which a restorer gives the network as they are: it stretches what has less."""
    crops = faces.float() / 255
    crops[..., :32, :], crops[..., -32:, :] = 0, 1
    return crops


def test_the_fidelity_acts(tmp_path: Path, stirred: VisageRestorer, faces: torch.Tensor) -> None:
    from safetensors.torch import save_file

    stirred.gain.bias.data += 0.5
    save_file({name: value.contiguous() for name, value in stirred.state_dict().items()}, tmp_path / "a.safetensors")
    restorer = load_restorer(tmp_path / "a.safetensors", TorchHost("cpu", quiet=True))
    assert restorer.acts_on_fidelity
    crops = of_full_contrast(faces[:1])

    def fine(fidelity: float) -> float:
        return float(bands(restorer.restore(crops, RestoreOptions(fidelity=fidelity)))[0].square().mean())

    assert fine(0.0) > 1.05 * fine(0.5) > 1.1 * fine(1.0)
    with torch.no_grad():
        expected = stirred(crops).clamp(0, 1)
    torch.testing.assert_close(restorer.restore(crops, RestoreOptions(fidelity=1.0)), expected, atol=1e-4, rtol=0)


def test_gains_are_best_where_the_strength_is_right(generator: torch.Generator) -> None:
    truth = torch.rand((1, 3, 64, 64), generator=generator)
    likely = 0.5 + (truth - 0.5) / 2
    tried = {gain: weakness(torch.full((1, 3, 16, 16), math.log(gain)), likely, truth) for gain in (1.0, 1.5, 2.0, 3.0)}
    assert min(tried, key=lambda gain: tried[gain]) == 2.0
    # What has nothing to do with the truth is to stay as weak as it is.
    noise = 0.5 + 0.3 * torch.rand(truth.shape, generator=generator)
    tried = {gain: weakness(torch.full((1, 3, 16, 16), math.log(gain)), noise, truth) for gain in (1.0, 1.5, 2.0, 3.0)}
    assert tried[3.0] > tried[1.0]


def test_only_gains_are_learned_and_a_run_goes_on(tmp_path: Path, faces: torch.Tensor) -> None:
    run(job(faces), tmp_path / "run", Pace())
    trained = checkpoints.load(tmp_path / "run" / CHECKPOINT)
    before = trained.state["average"]
    settings = SharpnessSettings(steps=4, parts=2, part=64)

    def sharpness() -> SharpnessJob:
        return SharpnessJob(settings, trained, faces, torch.device("cpu"))

    whole = sharpness()
    run(whole, tmp_path / "whole", Pace())
    with pytest.raises(KeyboardInterrupt):
        run(stopped_before(2, sharpness()), tmp_path / "pieces", Pace(save_minutes=0))
    assert checkpoints.load(tmp_path / "pieces" / CHECKPOINT).step == 2
    piece = sharpness()
    run(piece, tmp_path / "pieces", Pace())
    after = whole.network.state_dict()
    assert all(map(torch.equal, piece.network.state_dict().values(), after.values()))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"gain.weight", "gain.bias"}
    assert export(tmp_path / "whole", tmp_path / "out.safetensors", "1") > 0
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["steps"] == str(TINY.steps)


def test_textures_count_from_the_share_of_the_run_that_was_asked_for(faces: torch.Tensor) -> None:
    early = job(faces, replace(TINY, texture_from=0.5))
    told = [early.step(number).keys() for number in range(TINY.steps)]
    assert ["texture" in names for names in told] == [False] * 3 + [True] * 3


def test_the_place_of_a_part_counts(stirred: VisageRestorer, generator: torch.Generator) -> None:
    images = torch.rand((1, 3, 64, 64), generator=generator).expand(2, -1, -1, -1)
    apart, _ = stirred.likeliest(images, torch.tensor([[0, 0], [9, 20]]))
    assert torch.allclose(apart[0], stirred.likeliest(images[:1])[0][0], atol=1e-4)
    assert (apart[0] - apart[1]).abs().max() > 1e-3


def test_mirrored_crops_give_mirrored_faces(stirred: VisageRestorer, generator: torch.Generator) -> None:
    stirred.gain.bias.data += 0.3
    part = torch.rand((2, 3, 64, 64), generator=generator)
    whole = torch.rand((1, 3, SIDE, SIDE), generator=generator)
    with torch.no_grad():
        once, mirrored = stirred(whole, amount=1.0), stirred(whole.flip(-1), amount=1.0)
        torch.testing.assert_close(mirrored, once.flip(-1), atol=1e-6, rtol=0)
        # Parts, too, whose mirror images lie on the other side of the face.
        last = SIDE // stirred.unit - 64 // stirred.unit
        there = stirred.seen_twice(part, torch.tensor([[3, 5], [0, last]]))
        beyond = stirred.seen_twice(part.flip(-1), torch.tensor([[3, last - 5], [0, 0]]))
    for one, other in zip(there, beyond, strict=True):
        torch.testing.assert_close(other, one.flip(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_file_of_a_preset_is_small_enough(preset: str) -> None:
    settings = PRESETS[preset]
    with torch.device("meta"):
        network = VisageRestorer(settings.widths, settings.blocks)
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) < MOST_BYTES
    assert layout(network.state_dict()) == (list(settings.widths), list(settings.blocks), True)
    assert settings.part % network.unit == 0


def test_a_run_in_pieces_gives_the_bits_of_a_run_in_one(tmp_path: Path, faces: torch.Tensor) -> None:
    """Parts and whole faces, identity and discriminator included."""
    settings = replace(TINY, adversarial=0.01, adversarial_from=0.3, discriminator_width=4)
    whole = job(faces, settings)
    run(whole, tmp_path / "whole", Pace())
    for number in (1, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            run(stopped_before(number, job(faces, settings)), tmp_path / "pieces", Pace(save_minutes=0))
        assert checkpoints.load(tmp_path / "pieces" / CHECKPOINT).step == number
        torch.rand(5)
    piece = job(faces, settings)
    run(piece, tmp_path / "pieces", Pace())
    for ours, theirs in ((piece.network, whole.network), (piece.average.module, whole.average.module)):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_the_average_takes_in_each_step_as_the_one_it_is(faces: torch.Tensor) -> None:
    trained = job(faces, replace(TINY, rate=1e-2, warm_up=1))
    averaged = dict(trained.average.module.named_parameters())
    for done in (1, 2):
        before = {name: weight.clone() for name, weight in averaged.items()}
        trained.step(done - 1)
        decay = (1 + done) / (10 + done)
        for name, weight in trained.network.named_parameters():
            torch.testing.assert_close(averaged[name], before[name].lerp(weight.data, 1 - decay), atol=1e-7, rtol=1e-5)
        assert max(float((averaged[name] - before[name]).abs().max()) for name in averaged) > 1e-3


def test_shares_of_a_batch_are_learned_together(faces: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visage.training.restorer._CLIP", math.inf)
    both, first, second = job(faces, replace(TINY, shares=2)), job(faces), job(faces)
    told, one, other = both.step(0), first.step(0), second.step(1)
    assert one["pixels"] != other["pixels"]
    torch.testing.assert_close(told, {name: (one[name] + other[name]) / 2 for name in one})
    slopes = [[parameter.grad for parameter in trained.network.parameters()] for trained in (both, first, second)]
    for mean, *apart in zip(*slopes, strict=True):
        if mean is None:
            assert apart == [None, None]
        else:
            torch.testing.assert_close(mean, (apart[0] + apart[1]) / 2)
    assert any(mean is not None and mean.abs().max() > 0 for mean in slopes[0])
    with pytest.raises(ValueError, match="Give shares 1, or adversarial 0"):
        job(faces, replace(TINY, shares=2, adversarial=0.01))


def test_shares_give_the_same_bits_each_time(faces: torch.Tensor) -> None:
    once, again = job(faces, replace(TINY, shares=3)), job(faces, replace(TINY, shares=3))
    for number in range(TINY.steps):
        once.step(number)
        again.step(number)
    assert all(map(torch.equal, once.network.state_dict().values(), again.network.state_dict().values()))


def test_steps_lower_the_loss(faces: torch.Tensor) -> None:
    trained = job(faces, replace(TINY, steps=1000, rate=4e-3, warm_up=10))
    # The same batch again and again.
    told = [trained.step(1) for _ in range(120)]
    assert told[0]["gained"] == 0
    assert told[-1]["gained"] > 1e-3
    assert told[-1]["pixels"] < told[0]["pixels"] - 1e-3


def test_the_shipped_file_gives_the_average_within_a_level(tmp_path: Path, faces: torch.Tensor) -> None:
    trained = job(faces, replace(TINY, rate=5e-3))
    run(trained, tmp_path, Pace())
    path = tmp_path / "renamed.safetensors"
    assert export(tmp_path, path, "7") == path.stat().st_size
    with safe_open(path, "pt") as file:
        assert file.metadata()["version"] == "7"
        assert file.metadata()["visage"] == "visage-restore"
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118 - not a dict
    restorer = load_restorer(path, TorchHost("cpu", quiet=True))
    assert restorer.architecture == "Visage"
    assert restorer.crop_size(40) == SIDE
    crops = of_full_contrast(faces[:2])
    with torch.no_grad():
        expected = trained.average.module(crops).clamp(0, 1)
    assert (restorer.restore(crops) - expected).abs().max() * 255 < 1
    assert not torch.equal(expected, crops)


def test_measures_are_those_of_simple_pictures() -> None:
    truth = torch.full((1, 3, 64, 64), 0.5)
    truth[..., ::2] += 0.1
    half = 0.5 + (truth - 0.5) / 2
    (same,) = measure("mild", "none", ["male_white_12"], (truth, half, truth), Means())
    assert (same.texture, same.psnr) == (pytest.approx(1), 100)
    assert same.identity == pytest.approx(1)
    assert same.changed == pytest.approx(0.025 * 255, rel=1e-4)
    assert same.group == "male_white"
    (weaker,) = measure("mild", "none", ["tpdne_0001"], (truth, half, half), Means())
    assert weaker.texture == pytest.approx(0.25, rel=1e-3)
    assert weaker.psnr == pytest.approx(-10 * torch.log10(torch.tensor(0.05**2 / 2)).item(), abs=0.01)
    assert weaker.changed == 0


def test_tables_give_mean_and_spread_by_key() -> None:
    def one(picture: str, psnr: float) -> Measures:
        texture = psnr / 25
        return Measures("mild", "none", picture, psnr, 0.5, texture, (1.0, 1.0, 1.0), 0.0)

    text = table([one("a_1", 20.0), one("a_2", 30.0), one("b_1", 40.0)], ("method", "group"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert rows[0][:7] == ["method", "group", "faces", "PSNR dB", "identity", "texture", "off by"]
    # One face has too little texture, the next too much: that is no zero.
    assert rows[2][:7] == ["none", "a", "2", "25.00 ± 5.00", "0.50 ± 0.00", "1.00 ± 0.20", "0.20 ± 0.00"]
    assert rows[3][:4] == ["none", "b", "1", "40.00 ± 0.00"]


def test_evaluation_writes_what_it_saw(tmp_path: Path, faces: torch.Tensor, stirred: VisageRestorer) -> None:
    import cv2
    from safetensors.torch import save_file

    files = []
    for number, face in enumerate(faces[:2]):
        files.append(tmp_path / f"female_black_{number}.png")
        cv2.imwrite(str(files[-1]), face.flip(0).permute(1, 2, 0).numpy())
    save_file(stirred.state_dict(), tmp_path / "tiny.safetensors")
    found = restoring(tmp_path / "tiny.safetensors", TorchHost("cpu", quiet=True), (0.5, 1.0))
    assert list(found) == ["tiny, fidelity 0.5", "tiny, fidelity 1"]
    tiny = found["tiny, fidelity 1"]
    measures, examples = evaluate(files, {"degraded": as_they_are, "tiny": tiny}, Means(), shown=1)
    assert len(measures) == 2 * 4 * 2
    sharp = [one for one in measures if (one.level, one.method) == (SHARP, "degraded")]
    assert all((one.psnr, one.changed) == (100, 0) for one in sharp)
    mild, strong = (
        sum(one.psnr for one in measures if (one.level, one.method) == (level, "degraded"))
        for level in ("mild", "strong")
    )
    assert mild > strong
    again, _ = evaluate(files, {"degraded": as_they_are, "tiny": tiny}, Means())
    assert again == measures
    assert contact_sheet(examples).shape == (4 * SIDE, 3 * SIDE, 3)
    text = report(measures, ("truth", "degraded", "tiny"))
    assert text.count("female_black") == 8
    assert "2 faces" in text
