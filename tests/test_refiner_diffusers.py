"""The diffusers engine on tiny models with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from visage.faces.face import Face, Faces
from visage.fields import build
from visage.models.host import Resident, TorchHost
from visage.models.refiners import Sampling
from visage.models.refiners.diffusers_engine import SAMPLERS, SCHEDULES, DiffusersRefiner, load_inpainter
from visage.models.refiners.diffusers_engine import autoencoder as autoencoder_module
from visage.models.refiners.diffusers_engine.autoencoder import Autoencoder
from visage.models.refiners.diffusers_engine.folder import read_folder
from visage.models.refiners.diffusers_engine.text import PromptEncoder
from visage.pipeline import PromptSource, RefineSettings, refine
from visage.tests.tiny_diffusers import Kind, write_folder
from visage.tests.tiny_repaint import Steps, a_crop, repainted

HOST = TorchHost("cpu", quiet=True)
TWO = Sampling(steps=2, mode="noise mask")
UNET, VAE, TEXT = "UNet2DConditionModel", "AutoencoderKL", "CLIPTextModel"

Calls = list[tuple[Tensor, int, dict[str, Any]]]


class KeepingHost(TorchHost):
    """Knows what it was given to look after."""

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)
        self._kept: list[Resident[Any]] = []

    def adopt(self, module: Any, dtype: torch.dtype) -> Resident[Any]:
        self._kept.append(super().adopt(module, dtype))
        return self._kept[-1]

    def dtype_of(self, kind: str) -> torch.dtype:
        (found,) = (kept.dtype for kept in self._kept if self._within(kept, kind))
        return found

    def network(self, kind: str) -> nn.Module:
        """The one of that class of diffusers or transformers."""
        (found,) = (network for kept in self._kept for network in self._within(kept, kind))
        return found

    @staticmethod
    def _within(kept: Resident[Any], kind: str) -> list[nn.Module]:
        return [part for part in kept.module.modules() if type(part).__name__ == kind]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    base = tmp_path_factory.mktemp("diffusers")
    kinds: tuple[Kind, ...] = ("sd", "inpaint", "xl")
    return {kind: write_folder(base / kind, kind) for kind in kinds}


@pytest.fixture(scope="module")
def hosts(folders: dict[Kind, Path]) -> dict[Kind, KeepingHost]:
    return {kind: KeepingHost() for kind in folders}


@pytest.fixture(scope="module")
def load(folders: dict[Kind, Path], hosts: dict[Kind, KeepingHost]) -> Callable[[Kind], DiffusersRefiner]:
    loaded = {kind: load_inpainter(folder, hosts[kind], "fp32") for kind, folder in folders.items()}
    return loaded.__getitem__


@pytest.fixture
def calls_of(
    load: Callable[[Kind], DiffusersRefiner], hosts: dict[Kind, KeepingHost]
) -> Iterator[Callable[[Kind], Calls]]:
    """Gives the list of what the UNet of a model is called with from then on."""
    hooks = []

    def listen(kind: Kind) -> Calls:
        calls: Calls = []

        def record(module: Any, given: Any, named: Any) -> None:
            calls.append((given[0].clone(), int(given[1]), named))

        hooks.append(hosts[kind].network(UNET).register_forward_pre_hook(record, with_kwargs=True))
        return calls

    yield listen
    for hook in hooks:
        hook.remove()


def autoencoder(folder: Path, host: TorchHost = HOST) -> Autoencoder:
    return Autoencoder(read_folder(folder).vae, host, torch.float32, "tiny")


def prompt_encoder(folder: Path, host: TorchHost = HOST) -> PromptEncoder:
    parts = read_folder(folder)
    return PromptEncoder(parts.texts, host, torch.float32, parts.is_sdxl)


@pytest.mark.parametrize("kind", ["sd", "inpaint", "xl"])
@pytest.mark.parametrize("mode", ["noise mask", "differential", "whole crop", "inpaint model"])
def test_every_mode_repaints_and_the_same_work_gives_the_same_bits(
    load: Callable[[Kind], DiffusersRefiner], kind: Kind, mode: Any
) -> None:
    refiner, sampling = load(kind), replace(TWO, mode=mode, sampler="euler_ancestral")
    if mode == "inpaint model" and kind != "inpaint":
        with pytest.raises(ValueError, match=r"is no inpaint model\. Choose the mode differential"):
            repainted(refiner, a_crop(), sampling)
        return
    random = torch.get_rng_state()
    work = a_crop()
    before = work.pixels.clone(), work.mask.clone()
    steps = Steps()
    first = repainted(refiner, work, sampling, steps)
    assert first.shape == (16, 24, 3)
    assert first.dtype == torch.float32
    assert bool(first.isfinite().all())
    assert steps.count == refiner.steps(sampling) == 2
    assert torch.equal(repainted(refiner, a_crop(), sampling), first)
    assert not torch.equal(repainted(refiner, a_crop(seed=6), sampling), first)
    assert not torch.equal(repainted(refiner, a_crop(prompt="a cat"), sampling), first)
    assert torch.equal(work.pixels, before[0])
    assert torch.equal(work.mask, before[1])
    assert torch.equal(torch.get_rng_state(), random)


def test_sizes_follow_from_the_model(load: Callable[[Kind], DiffusersRefiner]) -> None:
    refiner = load("sd")
    assert refiner.multiple == 2 * 2
    assert repainted(refiner, a_crop(20, 28), TWO).shape == (20, 28, 3)
    with pytest.raises(ValueError, match="multiples of 4, not 22 x 20"):
        repainted(refiner, a_crop(20, 22), TWO)


@pytest.mark.parametrize("steps", [1, 5])
def test_steps_are_really_run_whatever_the_denoise(
    load: Callable[[Kind], DiffusersRefiner], calls_of: Callable[[Kind], Calls], steps: int
) -> None:
    for denoise, highest in ((1.0, 999), (0.25, 260)):
        calls, count = calls_of("sd"), Steps()
        repainted(load("sd"), a_crop(16, 16, denoise=denoise), replace(TWO, steps=steps), count)
        times = [time for _, time, _ in calls]
        assert len(times) == count.count == steps
        assert times == sorted(times, reverse=True)
        assert times[0] <= highest
    # The last of four steps of this schedule begins at the end of the training.
    assert times[0] == (0 if steps == 1 else 210)


def test_without_denoise_nothing_is_done(load: Callable[[Kind], DiffusersRefiner]) -> None:
    work, count = a_crop(denoise=0.0), Steps()
    assert torch.equal(repainted(load("sd"), work, TWO, count), work.pixels)
    assert count.count == 2


def test_unknown_names_are_refused_with_those_there_are(load: Callable[[Kind], DiffusersRefiner]) -> None:
    with pytest.raises(ValueError, match=r"no sampler 'fast'\. Choose euler, euler_ancestral"):
        load("sd").steps(replace(TWO, sampler="fast"))
    with pytest.raises(ValueError, match=r"no scheduler 'fast'\. Choose normal, karras"):
        load("sd").steps(replace(TWO, scheduler="fast"))


def test_the_mask_says_what_is_repainted(load: Callable[[Kind], DiffusersRefiner], folders: dict[Kind, Path]) -> None:
    refiner, vae = load("sd"), autoencoder(folders["sd"])
    with torch.no_grad():
        work = a_crop(32, 32)
        untouched = vae.decode(vae.encode(work.pixels.movedim(-1, 0)[None]))[0].movedim(0, -1)
    nothing = repainted(refiner, a_crop(32, 32, mask=torch.zeros(32, 32)), TWO)
    assert torch.allclose(nothing, untouched, atol=1e-5)
    whole = repainted(refiner, a_crop(32, 32, mask=torch.zeros(32, 32)), replace(TWO, mode="whole crop"))
    assert float((whole - untouched).abs().mean()) > 0.01
    assert torch.equal(whole, repainted(refiner, a_crop(32, 32, mask=torch.ones(32, 32)), TWO))


def test_an_inpaint_model_is_told_the_mask_and_the_picture_without_it(
    load: Callable[[Kind], DiffusersRefiner], calls_of: Callable[[Kind], Calls], folders: dict[Kind, Path]
) -> None:
    calls = calls_of("inpaint")
    work = a_crop(32, 32)
    repainted(load("inpaint"), work, TWO)
    given = calls[0][0]
    assert given.shape == (2, 9, 16, 16)
    assert torch.equal(given[0, 4], work.mask[::2, ::2])
    grey = work.pixels * (1 - work.mask[..., None]) + 0.5 * work.mask[..., None]
    with torch.no_grad():
        expected = autoencoder(folders["inpaint"]).encode(grey.movedim(-1, 0)[None])
    assert torch.allclose(given[:1, 5:], expected, atol=1e-5)


def test_an_xl_model_is_told_the_size_and_a_summary(
    load: Callable[[Kind], DiffusersRefiner], calls_of: Callable[[Kind], Calls]
) -> None:
    calls = calls_of("xl")
    repainted(load("xl"), a_crop(16, 24), TWO)
    named = calls[0][2]
    assert named["added_cond_kwargs"]["time_ids"].tolist() == [[16, 24, 0, 0, 16, 24]] * 2
    assert named["added_cond_kwargs"]["text_embeds"].shape == (2, 32)
    assert named["encoder_hidden_states"].shape == (2, 77, 64)


def test_without_guidance_the_model_is_asked_once(
    load: Callable[[Kind], DiffusersRefiner], calls_of: Callable[[Kind], Calls]
) -> None:
    refiner, calls = load("sd"), calls_of("sd")
    plain = repainted(refiner, a_crop(16, 16, negative="ugly"), replace(TWO, cfg=1.0))
    assert {len(given) for given, _, _ in calls} == {1}
    assert torch.equal(repainted(refiner, a_crop(16, 16, negative="nice"), replace(TWO, cfg=1.0)), plain)
    guided = [repainted(refiner, a_crop(16, 16, negative=text), TWO) for text in ("ugly", "nice")]
    assert not torch.equal(*guided)


@pytest.mark.parametrize("kind", ["sd", "xl"])
def test_prompts_mean_what_they_mean_in_diffusers(
    load: Callable[[Kind], DiffusersRefiner],
    calls_of: Callable[[Kind], Calls],
    folders: dict[Kind, Path],
    kind: Kind,
) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    parts = read_folder(folders[kind])
    common = {"vae": parts.vae, "unet": parts.unet, "scheduler": a_scheduler()}
    common |= {"text_encoder": parts.texts[0].encoder, "tokenizer": parts.texts[0].tokenizer}
    asked = {"device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": True}
    asked |= {"prompt": "a face, smiling", "negative_prompt": "ugly"}
    calls = calls_of(kind)
    repainted(load(kind), a_crop(prompt="a face, smiling", negative="ugly"), TWO)
    told = calls[0][2]
    with torch.no_grad():
        if kind == "sd":
            pipe = StableDiffusionPipeline(
                **common, safety_checker=None, feature_extractor=None, requires_safety_checker=False
            )
            wanted, unwanted = pipe.encode_prompt(**asked)
        else:
            more = {"text_encoder_2": parts.texts[1].encoder, "tokenizer_2": parts.texts[1].tokenizer}
            wanted, unwanted, summary, unwanted_summary = StableDiffusionXLPipeline(**common, **more).encode_prompt(
                **asked
            )
            assert torch.allclose(
                told["added_cond_kwargs"]["text_embeds"], torch.cat([unwanted_summary, summary]), atol=1e-5
            )
    assert torch.allclose(told["encoder_hidden_states"], torch.cat([unwanted, wanted]), atol=1e-5)


def a_scheduler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(steps_offset=1)


def test_long_prompts_are_read_to_their_end_and_each_text_once(folders: dict[Kind, Path]) -> None:
    host = KeepingHost()
    text = prompt_encoder(folders["sd"], host)
    read: list[Tensor] = []
    host.network(TEXT).register_forward_pre_hook(lambda module, given: read.append(given[0]))
    with torch.no_grad():
        long = "abc " * 40
        first, second = text.encode([long, "short"])
        assert first.words.shape == second.words.shape == (1, 2 * 77, 32)
        assert not torch.equal(text.encode([long + "d", ""])[0].words, first.words)
        again = text.encode([long, "short"])
    # Both long ones in two pieces; the empty text fills up the short one.
    assert sorted(len(pieces) for pieces in read) == [1, 1, 2, 2]
    assert torch.equal(again[1].words, second.words)


def test_texts_of_long_ago_are_read_again(folders: dict[Kind, Path]) -> None:
    host = KeepingHost()
    text = prompt_encoder(folders["sd"], host)
    read: list[Tensor] = []
    host.network(TEXT).register_forward_pre_hook(lambda module, given: read.append(given[0]))
    texts = [f"text {number}" for number in range(70)]
    with torch.no_grad():
        for each in texts:
            text.encode([each])
        assert len(read) == 70
        text.encode(texts[-1:])
        assert len(read) == 70
        text.encode(texts[:1])
    assert len(read) == 71


@pytest.mark.parametrize("kind", ["sd", "xl"])
def test_after_the_word_break_a_new_piece_begins(folders: dict[Kind, Path], kind: Kind) -> None:
    text = prompt_encoder(folders[kind])
    with torch.no_grad():
        old, at_sea, broken, plain = text.encode(["old", "at sea", "old BREAK at sea BREAK", "old BREAKING at sea"])
    assert torch.allclose(broken.words[:, :77], old.words[:, :77], atol=1e-5)
    assert torch.allclose(broken.words[:, 77:], at_sea.words[:, :77], atol=1e-5)
    assert plain.words.shape == broken.words.shape
    assert not torch.allclose(plain.words[:, 77:], broken.words[:, 77:], atol=1e-3)
    if broken.summary is not None:
        assert torch.allclose(broken.summary, old.summary, atol=1e-5)


class ReleasingHost(KeepingHost):
    """Counts how often it was asked to give memory back."""

    def __init__(self) -> None:
        super().__init__()
        self.released = 0

    def release(self) -> None:
        self.released += 1


def test_a_vae_that_does_not_fit_works_in_tiles_then_gives_up(
    folders: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of pixels by the hundred, not by the hundred thousand, of which the attention takes seconds.
    monkeypatch.setattr(autoencoder_module, "_TILE", 16)
    host = ReleasingHost()
    vae = autoencoder(folders["sd"], host)
    network: Any = host.network(VAE)
    room = 16 * 16

    def limited(call: Any, pixels_each: int) -> Any:
        def run(x: Tensor, *more: Any) -> Tensor:
            if x.shape[-1] * x.shape[-2] * pixels_each > room:
                raise torch.OutOfMemoryError("out of memory")
            return call(x, *more)

        return run

    pixels = torch.rand(1, 3, 40, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = vae.encode(pixels)
        network.decoder.forward = limited(network.decoder.forward, 4)
        network.encoder.forward = limited(network.encoder.forward, 1)
        latents = vae.encode(pixels)
        assert host.released == 1
        assert latents.shape == whole.shape == (1, 4, 20, 14)
        assert vae.decode(latents).shape == pixels.shape
        assert host.released == 2
        room = 100
        with pytest.raises(MemoryError, match="Out of memory in the VAE of tiny"):
            vae.decode(latents)


def test_a_unet_that_does_not_fit_is_a_memory_error(
    load: Callable[[Kind], DiffusersRefiner], hosts: dict[Kind, KeepingHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    refiner = load("sd")

    def full(*given: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(hosts["sd"].network(UNET), "forward", full)
    with pytest.raises(MemoryError, match="Out of memory in sd"):
        repainted(refiner, a_crop(16, 16), TWO)


def test_the_vae_stays_in_float32_unless_its_configuration_says_otherwise(folders: dict[Kind, Path]) -> None:
    for upcast, expected in ((True, torch.float32), (False, torch.bfloat16)):
        parts = read_folder(folders["xl"])
        parts.vae.register_to_config(force_upcast=upcast)
        host = KeepingHost()
        refiner = DiffusersRefiner(parts, host, torch.bfloat16)
        assert host.dtype_of(VAE) == expected
        assert host.dtype_of(UNET) == torch.bfloat16
        assert bool(repainted(refiner, a_crop(16, 16), TWO).isfinite().all())


@pytest.mark.parametrize("mode", ["noise mask", "differential", "inpaint model"])
def test_pixels_outside_the_mask_keep_their_bits_for_every_sampler_and_scheduler(
    load: Callable[[Kind], DiffusersRefiner], mode: str
) -> None:
    refiner = load("inpaint")
    frames = torch.rand(2, 40, 50, 3, generator=torch.Generator().manual_seed(7))
    faces = Faces(50, 40, ((Face((10.0, 12.0, 26.0, 28.0), 0.9),), ()))
    for sampler in list(SAMPLERS)[: 8 if mode == "noise mask" else 6]:
        for scheduler in list(SCHEDULES)[: 6 if mode == "noise mask" else 4]:
            settings = build(
                RefineSettings,
                {"sampler": sampler, "scheduler": scheduler, "mode": mode, "steps": 1, "cfg": 1.0, "guide_size": 64}
                | {"crop_factor": 1.5, "feather": 2, "noise_feather": 3, "dilation": 0},
            )
            done = refine(frames, faces, refiner, HOST, settings, PromptSource("", ""))
            same = done.changed == 0
            assert torch.equal(done.frames[same], frames[same])
            assert 0.05 < float((~same[0]).float().mean()) < 0.6
            assert float((done.frames - frames).abs().max()) > 0.01
            assert torch.equal(done.frames[1], frames[1])
            assert len(done.crops) == 1
