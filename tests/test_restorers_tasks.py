"""The networks of CodeFormer's family and ELIR: what they are told apart by, their switches, fills and colours."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.models.host import TorchHost
from visage.models.restorers import RestoreOptions, Restorer, codeformer, elir, gfpgan, load_restorer
from visage.models.restorers.codeformer.architecture import CodeFormer
from visage.models.restorers.elir.architecture import ELIR
from visage.models.restorers.gfpgan.architecture import GFPGAN
from visage.models.restorers.network import Network
from visage.models.weights import WeightsError
from visage.pipeline import BlendSettings, RestoreSettings, restore
from visage.tests.parity import recipe
from visage.tests.parity.fingerprints import Fingerprint, read_fingerprint, write_checkpoint

HOST = TorchHost("cpu", quiet=True)


def restorer_of(name: str, folder: Path) -> tuple[Restorer, Fingerprint]:
    fingerprint = read_fingerprint(name)
    path = folder / f"{name}.pth"
    write_checkpoint(fingerprint, path)
    return load_restorer(path, HOST), fingerprint


def with_weights(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    module.load_state_dict(recipe.weights(shapes, seed, {}))
    return module.eval()


# CodeFormer


def official(name: str) -> dict[str, Tensor]:
    """An official state dict without numbers."""
    with torch.device("meta"):
        return {key: torch.empty(shape) for key, shape in read_fingerprint(name).shapes.items()}


@pytest.mark.parametrize(
    ("entries", "largest", "architecture"),
    [(1024, 256, codeformer.RESTORING), (512, 128, codeformer.FILLING), (1024, 128, codeformer.COLOURING)],
)
def test_the_three_codeformers_are_told_apart_by_their_layout(entries: int, largest: int, architecture: object) -> None:
    tensors = official("codeformer")
    for name in ("quantize.embedding.weight", "idx_pred_layer.1.weight"):
        tensors[name] = tensors[name][:entries]
    if largest == 128:
        tensors = {name: value for name, value in tensors.items() if not name.startswith("fuse_convs_dict.256")}
    network = codeformer.KIND.load("any name", tensors)
    assert network.architecture is architecture
    assert network.module.state_dict().keys() == tensors.keys()


def test_filling_gives_the_numbers_of_the_authors_script(tmp_path: Path) -> None:
    restorer, fingerprint = restorer_of("codeformer-inpainting", tmp_path)
    hidden = torch.zeros(1, 512, 512, dtype=torch.bool)
    hidden[:, 150:300, 100:400] = True
    crop = fingerprint.crop()
    filled = restorer.restore(crop, RestoreOptions(fidelity=0.1), hidden=hidden)
    assert restorer.architecture == fingerprint.architecture
    # The authors' output may leave the range of a picture, ours is cut to it.
    values = torch.tensor(fingerprint.values).clamp(-1, 1)
    found = filled[0].flatten()[list(fingerprint.positions)] * 2 - 1
    assert float((found - values).abs().max()) < 1e-4
    assert torch.equal(filled[:, :, ~hidden[0]], crop[:, :, ~hidden[0]])


def test_colouring_gives_the_numbers_of_the_authors_script(tmp_path: Path) -> None:
    restorer, fingerprint = restorer_of("codeformer-colorization", tmp_path)
    coloured = restorer.restore(fingerprint.crop())
    assert restorer.architecture == fingerprint.architecture
    values = torch.tensor(fingerprint.values).clamp(-1, 1)
    found = coloured[0].flatten()[list(fingerprint.positions)] * 2 - 1
    assert float((found - values).abs().max()) < 1e-4


SMALL = {"width": 32, "code": 32, "entries": 64, "tokens": 4, "embedding": 64, "layers": 2}


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    """A CodeFormer for pictures of 64 pixels, half as wide as the official one."""
    return with_weights(CodeFormer(**SMALL), seed=3)


def small_picture() -> Tensor:
    return recipe.crop(3)[..., 224:288, 224:288] * 2 - 1


@torch.no_grad()
def test_fidelity_moves_the_result_steadily(small: torch.nn.Module) -> None:
    image = small_picture()
    pure = small(image, 0.0)
    moved = [float((small(image, fidelity) - pure).abs().mean()) for fidelity in (0.0, 0.3, 0.6, 1.0)]
    assert moved[0] == 0
    assert all(before < after for before, after in pairwise(moved))


@torch.no_grad()
def test_adain_gives_the_looked_up_features_the_light_of_the_crop(small: torch.nn.Module) -> None:
    image = small_picture()
    assert float((small(image, 0.0, True) - small(image, 0.0, False)).abs().mean()) > 0.01


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_faces_of_a_batch_do_not_act_on_each_other(dtype: torch.dtype, rounding: float) -> None:
    # In double precision nothing but an influence of one face on another could be as large as the bound. In fp32 a
    # batch may be summed in another order, and the network enlarges what that changes.
    module = with_weights(CodeFormer(**SMALL), 3).to(dtype)
    image = small_picture().to(dtype)
    together = module(torch.cat([image, image.flip(3)]), 0.5, False)
    alone = torch.cat([module(image, 0.5, False), module(image.flip(3), 0.5, False)])
    assert float((together - alone).abs().max()) < rounding
    assert float((together[0] - together[1]).abs().mean()) > 0.01


@torch.no_grad()
def test_codeformer_runs_in_bfloat16_and_chooses_the_same_way_each_time() -> None:
    module = with_weights(CodeFormer(**SMALL), 3).bfloat16()
    image = small_picture().bfloat16()
    output = module(image, 0.5)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, module(image, 0.5))
    assert bool(output.isfinite().all())


# GFPGAN


@torch.no_grad()
def test_one_face_and_several_take_different_ways_to_the_same_numbers() -> None:
    module = with_weights(GFPGAN((64, 64, 32, 32), style=16), seed=5)
    images = torch.cat([recipe.crop(seed)[..., :32, :32] for seed in (1, 2, 3)]) * 2 - 1
    together = module(images)
    alone = torch.cat([module(image[None]) for image in images])
    assert together.shape == (3, 3, 32, 32)
    assert float((together - alone).abs().max() / together.std()) < 1e-5
    assert torch.equal(module(images), together)


def test_gfpgans_of_other_widths_load_by_their_shapes() -> None:
    module = GFPGAN((64, 64, 32, 32), style=16)
    tensors = {name: value.half() for name, value in module.state_dict().items()}
    # What training leaves behind is not kept.
    tensors["toRGB.0.weight"] = tensors["stylegan_decoder.style_mlp.1.weight"] = torch.zeros(1)
    assert gfpgan.KIND.recognises(tensors)
    found = gfpgan.KIND.load("small", tensors).module.state_dict()
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in module.state_dict().items()
    }
    assert {value.dtype for value in found.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("module", "name"), [("gfpganv1_arch", "GFPGANv1"), ("gfpgan_bilinear_arch", "GFPGANBilinear")]
)
def test_the_first_gfpgans_are_refused_by_what_they_are(module: str, name: str, tmp_path: Path) -> None:
    first = import_module(f"spandrel.architectures.GFPGAN.__arch.{module}")
    with torch.device("meta"):
        network = getattr(first, name)(512, channel_multiplier=1, different_w=True, input_is_latent=True, sft_half=True)
    path = tmp_path / "GFPGANv1.pth"
    torch.save({"params_ema": {key: torch.zeros(1) for key in network.state_dict()}}, path)
    with pytest.raises(WeightsError, match=r"GFPGANv1.pth is the first GFPGAN.*Get GFPGANv1.4.pth"):
        load_restorer(path, HOST)


# ELIR


@pytest.fixture(scope="module")
def flow() -> ELIR:
    module = with_weights(ELIR(latent=4, width=32, multiples=(1, 2), waves=8, growth=8, groups=1), seed=7)
    assert isinstance(module, ELIR)
    return module


@torch.no_grad()
def test_seeds_vary_the_details_and_repeat(flow: ELIR) -> None:
    image = recipe.crop(1)[..., :64, :64]
    torch.manual_seed(1)
    first = flow(image, 3, 5)
    torch.manual_seed(2)
    assert torch.equal(flow(image, 3, 5), first)
    assert float((flow(image, 3, 6) - first).abs().mean()) > 1e-3


@torch.no_grad()
def test_every_face_of_a_batch_gets_the_same_noise(flow: ELIR) -> None:
    image = recipe.crop(1)[..., :64, :64]
    other = recipe.crop(2)[..., :64, :64]
    together = flow(torch.cat([other, image]), 3, 5)
    assert float((together[1:] - flow(image, 3, 5)).abs().max()) < 1e-5


@torch.no_grad()
def test_more_steps_come_closer_to_the_end_of_the_flow(flow: ELIR) -> None:
    image = recipe.crop(1)[..., :64, :64]
    end = flow(image, 32, 0)
    distances = [float((flow(image, steps, 0) - end).abs().mean()) for steps in (1, 3, 9)]
    assert distances[0] > distances[1] > distances[2] > 0


def test_elirs_for_other_jobs_are_refused_by_what_they_are() -> None:
    tensors = {
        name: value
        for name, value in official("elir").items()
        if not name.startswith(("fmir.mid_blocks.1", "fmir.mid_blocks.2"))
    }
    with pytest.raises(WeightsError, match=r"elir_sr.*another job.*elir_bfr.pth"):
        elir.KIND.load("elir_sr", tensors)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="steps"):
        RestoreOptions(steps=0)


# In the whole job


class Painter(torch.nn.Module):
    """Paints everything in one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor, *arguments: object) -> Tensor:
        return torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand_as(images)


SCENE = Faces(200, 120, ((Face((20, 20, 80, 100), 0.9), Face((120, 20, 180, 100), 0.8)),))


def paints(architecture: object) -> Restorer:
    return Restorer(Network("painter", Painter(), architecture, 1), HOST)


def test_filling_changes_the_region_of_a_face_alone_and_gives_it_its_own_colour() -> None:
    frames = torch.full((1, 120, 200, 3), 0.5)
    region = torch.zeros(1, 120, 200)
    region[:, 50:70, 40:60] = 1
    restorer = paints(codeformer.FILLING)
    done = restore(frames, SCENE, restorer, HOST, RestoreSettings(), region=region)
    assert torch.allclose(done.frames[0, 60, 50], torch.tensor([1.0, 0.0, 0.0]), atol=1e-4)
    # The edge of the region is resampled twice, into the crop and back.
    untouched = F.max_pool2d(region, 7, 1, 3) == 0
    assert torch.equal(done.frames[untouched], frames[untouched])
    actions = [(outcome.action, outcome.reason) for outcome in done.outcomes[0]]
    assert actions == [("restored", None), ("skipped", "nothing of it is in the region")]
    with pytest.raises(ValueError, match=r"painter fills hidden parts.*region"):
        restore(frames, SCENE, restorer, HOST, RestoreSettings())


@pytest.mark.parametrize(("architecture", "stays_grey"), [(codeformer.COLOURING, False), (codeformer.RESTORING, True)])
def test_colours_are_matched_to_the_frame_unless_colouring_is_the_job(architecture: object, stays_grey: bool) -> None:
    frames = recipe.crop(4).movedim(1, -1)[:, :120, :200].mean(dim=3, keepdim=True).expand(-1, -1, -1, 3).contiguous()
    done = restore(frames, SCENE, paints(architecture), HOST, RestoreSettings(blend=BlendSettings(colour=1.0)))
    red, green, _ = done.frames[0, 60, 50].tolist()
    assert (abs(red - green) < 0.05) == stays_grey
