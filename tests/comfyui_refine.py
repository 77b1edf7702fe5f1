"""The engine of Refine Faces on a real ComfyUI, with a tiny random model. Started by ``test_refine_comfyui.py``."""

from __future__ import annotations

import itertools
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face
from visage.faces.windows import extract_window
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import PromptSource, refine
from visage.pipeline.refine_settings import PromptSettings
from visage.tests import comfy_diffusion as tiny
from visage.tests.refine_fixtures import Counter, a_repaint, frames_with_faces, host, settings, window_of

pytest_plugins = ("visage.tests.refine_fixtures",)

SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "ddim", "uni_pc", "lcm")
SCHEDULERS = ("normal", "karras", "simple", "beta")


# What comes out


@pytest.mark.parametrize("mode", ["noise mask", "differential", "whole crop"])
def test_pixels_outside_the_mask_are_those_of_the_image(engine: Any, mode: str) -> None:
    frames, faces = frames_with_faces()
    given = frames.clone()
    for sampler, scheduler in itertools.product(SAMPLERS[:6], SCHEDULERS):
        how = settings(mode, sampling={"sampler": sampler, "scheduler": scheduler}, max_faces=1)
        done = refine(frames, faces, engine(), host(), how)
        assert torch.equal(done.frames[done.changed == 0], given[done.changed == 0]), (sampler, scheduler)
        assert float((done.changed == 0).float().mean()) > 0.9
        inside = done.changed == 1
        assert float((done.frames - given)[inside].abs().mean()) > 0.02, (sampler, scheduler)
    assert torch.equal(frames, given)


def test_pixels_around_turned_faces_and_faces_at_the_border_stay_too(engine: Any) -> None:
    frames, faces = frames_with_faces()
    turned = faces.with_frames([(Face((40, 20, 76, 56), roll=40.0), Face((-10, 50, 22, 90), roll=-100.0, index=1)), ()])
    for mode in ("noise mask", "differential", "whole crop"):
        done = refine(frames, turned, engine(), host(), settings(mode))
        assert torch.equal(done.frames[done.changed == 0], frames[done.changed == 0])
        assert float((done.changed[0] == 0).float().mean()) > 0.3
        assert bool((done.changed[0, 36:40, 56:60] == 1).all())


def test_inpaint_models_leave_the_rest_alone_too(engine: Any, inpaint_model: Any) -> None:
    frames, faces = frames_with_faces()
    for sampler in ("euler", "dpmpp_2m"):
        how = settings("inpaint model", sampling={"sampler": sampler})
        done = refine(frames, faces, engine(model=inpaint_model), host(), how)
        assert torch.equal(done.frames[done.changed == 0], frames[done.changed == 0])
        assert not torch.equal(done.frames, frames)


def test_the_same_seed_gives_the_same_bits_and_each_face_its_own_noise(engine: Any) -> None:
    frames, faces = frames_with_faces()
    one, two = (refine(frames, faces, engine(), host(), settings()) for _ in range(2))
    assert torch.equal(one.frames, two.frames)
    left, right = one.crops
    assert torch.equal(extract_window(frames, window_of(faces, 0)), extract_window(frames, window_of(faces, 1)))
    assert not torch.equal(left, right)
    alike = refine(frames, faces, engine(), host(), settings(prompts=PromptSettings(seeds="all the same")))
    assert torch.equal(alike.crops[0], alike.crops[1])
    assert torch.equal(alike.crops[0], left)
    other = refine(frames, faces, engine(), host(), settings(prompts=PromptSettings(seed=1)))
    assert not torch.equal(other.crops[0], left)
    # Seed plus place: the second face of one run is the first of the run with the next seed.
    assert torch.equal(other.crops[0], right)


def test_frames_without_faces_stay_as_they_are(engine: Any) -> None:
    frames, faces = frames_with_faces()
    done = refine(frames, faces, engine(), host(), settings())
    assert torch.equal(done.frames[1], frames[1])
    assert not torch.equal(done.frames[0], frames[0])
    nobody = faces.with_frames([(), ()])
    assert refine(frames, nobody, engine(), host(), settings()).frames is frames


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("denoise", [1.0, 0.37])
def test_the_crop_is_what_the_ksampler_node_makes_of_it(
    engine: Any, model: Any, vae: Any, sampler: str, denoise: float
) -> None:
    work = a_repaint(denoise=denoise)
    how = Sampling(steps=3, cfg=4.0, sampler=sampler, scheduler="karras", mode="noise mask")
    painted = engine().repaint(work, how, Counter())
    assert torch.equal(painted, by_nodes(model, vae, work, how))


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("scheduler", ["normal", "simple"])
def test_differential_is_what_that_node_makes_of_it(
    engine: Any, model: Any, vae: Any, strength: float, scheduler: str
) -> None:
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    work = a_repaint()
    how = Sampling(steps=4, mode="differential", differential=strength, scheduler=scheduler)
    patched = DifferentialDiffusion.execute(model, strength).result[0]
    painted = engine().repaint(work, how, Counter())
    torch.testing.assert_close(painted, by_nodes(patched, vae, work, how), atol=1e-5, rtol=0)
    assert float((painted - by_nodes(model, vae, work, how)).abs().max()) > 1e-4


def test_differential_of_strength_0_is_the_noise_mask_and_one_step_works(engine: Any, model: Any, vae: Any) -> None:
    work = a_repaint()
    how = Sampling(steps=3, mode="differential", differential=0.0)
    torch.testing.assert_close(
        engine().repaint(work, how, Counter()), by_nodes(model, vae, work, how), atol=1e-6, rtol=0
    )
    faint = engine().repaint(a_repaint(denoise=0.002), Sampling(steps=1, mode="differential"), Counter())
    assert bool(faint.isfinite().all())


def test_inpainting_is_what_those_nodes_make_of_it(engine: Any, inpaint_model: Any, vae: Any) -> None:
    import nodes

    work = a_repaint()
    how = Sampling(steps=2, mode="inpaint model")
    positive, negative, latent = nodes.InpaintModelConditioning().encode(
        tiny.conditioning(5), tiny.conditioning(6), work.pixels[None], vae, work.mask[None]
    )
    expected = by_nodes(inpaint_model, vae, work, how, positive=positive, negative=negative, latent=latent)
    painted = engine(model=inpaint_model).repaint(work, how, Counter())
    torch.testing.assert_close(painted, expected, atol=1e-6, rtol=0)
    elsewhere = a_repaint(mask=work.mask.roll(16, 0))
    assert not torch.allclose(engine(model=inpaint_model).repaint(elsewhere, how, Counter()), expected, atol=1e-3)


@pytest.mark.parametrize("mode", ["differential", "noise mask"])
def test_a_model_for_inpainting_is_told_what_is_masked_in_every_mode(
    engine: Any, inpaint_model: Any, vae: Any, mode: str
) -> None:
    from comfy_extras.nodes_differential_diffusion import DifferentialDiffusion

    import nodes

    work = a_repaint()
    positive, negative, latent = nodes.InpaintModelConditioning().encode(
        tiny.conditioning(5), tiny.conditioning(6), work.pixels[None], vae, work.mask[None]
    )
    patched = DifferentialDiffusion.execute(inpaint_model, 1.0).result[0] if mode == "differential" else inpaint_model
    how = Sampling(steps=2, mode=mode)
    expected = by_nodes(patched, vae, work, how, positive=positive, negative=negative, latent=latent)
    painted = engine(model=inpaint_model).repaint(work, how, Counter())
    torch.testing.assert_close(painted, expected, atol=1e-5, rtol=0)


def test_flux_fill_is_told_what_is_masked_and_models_with_other_inputs_are_not(pack: ModuleType) -> None:
    import comfy.model_base
    from visage.nodes.refining.inpainting import only_fills

    def model(kind: type, channels: int, keys: tuple[str, ...] = ()) -> Any:
        made = kind.__new__(kind)
        torch.nn.Module.__init__(made)
        made.concat_keys = keys
        made.latent_format = SimpleNamespace(latent_channels=16)
        made.model_config = SimpleNamespace(unet_config={"in_channels": channels})
        return made

    flux, wan = comfy.model_base.Flux, comfy.model_base.WAN21
    # Flux, its control models with a picture beside the latent, Fill; videos from a picture.
    assert [only_fills(model(flux, channels)) for channels in (16, 32, 96)] == [False, False, True]
    assert not only_fills(model(wan, 36))
    assert not only_fills(model(comfy.model_base.BaseModel, 33, ("concat_image", "mask_inverted")))


def test_a_model_that_is_not_for_inpainting_is_refused_that_mode(engine: Any) -> None:
    with pytest.raises(ValueError, match="needs a checkpoint made for inpainting; this BaseModel is none"):
        engine().repaint(a_repaint(), Sampling(steps=1, mode="inpaint model"), Counter())


def by_nodes(model: Any, vae: Any, work: Repaint, how: Sampling, **changes: Any) -> Tensor:
    """The crop by ComfyUI's own nodes: encode, mask, sample, decode."""
    import nodes

    given = {
        "positive": tiny.conditioning(5),
        "negative": tiny.conditioning(6),
        "latent": {"samples": vae.encode(work.pixels[None]), "noise_mask": work.mask[None, None]},
    } | changes
    (latent,) = nodes.common_ksampler(
        model,
        work.seed,
        how.steps,
        how.cfg,
        how.sampler,
        how.scheduler,
        given["positive"],
        given["negative"],
        given["latent"],
        denoise=work.denoise,
    )
    return vae.decode(latent["samples"])[0]


def test_the_whole_crop_is_repainted_where_that_is_asked_for(engine: Any, vae: Any) -> None:
    work = a_repaint(mask=torch.zeros(64, 64))
    there_and_back = vae.decode(vae.encode(work.pixels[None]))[0]
    untouched = engine().repaint(work, Sampling(steps=2, mode="noise mask"), Counter())
    torch.testing.assert_close(untouched, there_and_back, atol=1e-3, rtol=0)
    whole = engine().repaint(work, Sampling(steps=2, mode="whole crop"), Counter())
    assert float((whole - there_and_back).abs().mean()) > 0.005


@pytest.mark.parametrize(("wrong", "known"), [({"sampler": "eular"}, "euler"), ({"scheduler": "norm"}, "karras")])
def test_unknown_names_are_refused_with_those_that_there_are(engine: Any, wrong: dict[str, str], known: str) -> None:
    with pytest.raises(ValueError, match=f"called '{next(iter(wrong.values()))}'.*{known}"):
        engine().repaint(a_repaint(), Sampling(steps=1, **wrong), Counter())


def test_hardly_any_noise_gives_the_crop_as_it_was(engine: Any) -> None:
    counter = Counter()
    work = a_repaint(denoise=1e-9)
    assert engine().repaint(work, Sampling(steps=3), counter) is work.pixels
    assert counter.steps == 3


# Instead of widgets


def test_guider_sampler_and_sigmas_take_the_places_of_the_widgets(engine: Any, model: Any) -> None:
    import comfy.samplers

    work, how = a_repaint(), Sampling(steps=2, cfg=3.0, sampler="dpmpp_2m", scheduler="karras", mode="noise mask")
    expected = engine().repaint(work, how, Counter())
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(tiny.conditioning(5), tiny.conditioning(6))
    guider.set_cfg(3.0)
    before = dict(guider.original_conds), guider.model_patcher, dict(guider.model_options)
    sigmas = comfy.samplers.KSampler(model, 2, "cpu", "dpmpp_2m", "karras", work.denoise).sigmas
    given = {"guider": guider, "sampler": comfy.samplers.sampler_object("dpmpp_2m"), "sigmas": sigmas}
    replaced = engine(model=None, positive=[], negative=[], **given)
    other = Sampling(steps=9, cfg=1.0, mode="noise mask")
    assert replaced.steps(other) == 2
    counter = Counter()
    assert torch.equal(replaced.repaint(work, other, counter), expected)
    assert counter.steps == 2
    replaced.repaint(work, Sampling(mode="differential"), Counter())
    assert (guider.original_conds, guider.model_patcher, guider.model_options) == before


def test_a_text_replaces_what_a_guider_has_and_only_that(engine: Any, model: Any) -> None:
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": tiny.conditioning(5)})
    how = Sampling(steps=2, mode="noise mask")
    given = engine(guider=guider, clip=tiny.Words())
    plain, worded = (given.repaint(a_repaint(prompt=text), how, Counter()) for text in ("", "a face"))
    assert not torch.equal(plain, worded)
    with pytest.raises(ValueError, match="guider has no negative prompt"):
        given.repaint(a_repaint(negative="blurry"), how, Counter())


# Progress, interrupts, memory


@pytest.mark.parametrize("sampler", ["euler", "dpm_2", "dpm_adaptive", "dpm_fast", "heun"])
def test_progress_is_the_steps_that_were_announced(engine: Any, sampler: str) -> None:
    counter = Counter()
    how = Sampling(steps=4, sampler=sampler, mode="noise mask")
    engine().repaint(a_repaint(side=32), how, counter)
    assert counter.steps == engine().steps(how) == 4


def test_an_interrupt_goes_through(engine: Any) -> None:
    import comfy.model_management

    counter = Counter(stop_at=2)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        engine().repaint(a_repaint(), Sampling(steps=5), counter)
    assert counter.steps == 2


def test_previews_are_shown_on_the_one_bar_of_the_node(engine: Any) -> None:
    import comfy.cli_args
    import comfy.utils
    import latent_preview

    told: list[Any] = []
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, **_: told.append((value, total, preview and preview[0], preview and preview[1]))
    )
    frames, faces = frames_with_faces()
    try:
        latent_preview.set_preview_method("latent2rgb")
        refine(frames, faces, engine(), host(), settings(sampling={"steps": 3}))
    finally:
        latent_preview.set_preview_method("none")
        comfy.utils.set_progress_bar_global_hook(None)
    shown = [entry for entry in told if entry[2]]
    assert [(value, total) for value, total, *_ in shown] == [(number, 6) for number in range(1, 7)]
    assert {kind for _, _, kind, _ in shown} == {"JPEG"}
    assert all(min(picture.size) > 1 for *_, picture in shown)
    assert {total for _, total, *_ in told} == {6}


class Short:
    """A VAE that runs out of memory: whole, or in tiles too."""

    latent_dim = 2

    def __init__(self, vae: Any, even_in_tiles: bool) -> None:
        self.vae, self.even_in_tiles, self.tiled = vae, even_in_tiles, []

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("out of memory, pretended")

    decode = encode

    def encode_tiled(self, pixels: Tensor, **tiles: int) -> Tensor:
        return self._tiled("encode_tiled", pixels, tiles)

    def decode_tiled(self, latent: Tensor, **tiles: int) -> Tensor:
        return self._tiled("decode_tiled", latent, tiles)

    def _tiled(self, name: str, given: Tensor, tiles: dict[str, int]) -> Tensor:
        self.tiled.append((name, tiles["tile_x"]))
        if self.even_in_tiles:
            raise torch.OutOfMemoryError("out of memory, pretended")
        return getattr(self.vae, name)(given, **tiles)


def test_out_of_memory_leads_to_tiles_and_then_to_an_error(engine: Any, vae: Any) -> None:
    how = Sampling(steps=1, mode="noise mask")
    short = Short(vae, even_in_tiles=False)
    painted = engine(vae=short).repaint(a_repaint(), how, Counter())
    assert short.tiled == [("encode_tiled", 256), ("decode_tiled", 32)]
    torch.testing.assert_close(painted, engine().repaint(a_repaint(), how, Counter()), atol=1e-4, rtol=0)
    with pytest.raises(MemoryError, match="encode a crop of 64x64, even in tiles"):
        engine(vae=Short(vae, even_in_tiles=True)).repaint(a_repaint(), how, Counter())


# Shapes of models


def test_sizes_are_multiples_of_what_vae_and_model_say(engine: Any, model: Any) -> None:
    def multiple(compression: int, patch: Any) -> int:
        patched = model.clone()
        patched.add_object_patch("diffusion_model", SimpleNamespace(patch_size=patch))
        return engine(model=patched, vae=SimpleNamespace(spacial_compression_encode=lambda: compression)).multiple

    assert engine().multiple == 8
    assert engine().name == "BaseModel"
    assert [multiple(8, 2), multiple(8, (1, 2, 2)), multiple(16, [2, 2]), multiple(1, 1), multiple(1, 16)] == [
        16,
        16,
        32,
        8,
        16,
    ]


def test_latents_of_16_channels_and_pixels_as_latents(engine: Any) -> None:
    import comfy.sd

    how = Sampling(steps=2, mode="differential")
    wide = engine(model=tiny.model_of(in_channels=16, out_channels=16), vae=tiny.vae_of(latent_channels=16))
    assert wide.repaint(a_repaint(), how, Counter()).shape == (64, 64, 3)
    pixels = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    direct = engine(model=tiny.model_of(in_channels=3, out_channels=3), vae=pixels)
    work = a_repaint(side=32, mask=torch.zeros(32, 32))
    assert direct.multiple == 8
    # Nothing is masked and nothing is encoded, so nothing may change.
    painted = direct.repaint(work, Sampling(steps=2, mode="noise mask"), Counter())
    torch.testing.assert_close(painted, work.pixels, atol=1e-4, rtol=0)


def test_a_model_of_videos_gets_one_frame(engine: Any, model: Any, vae: Any) -> None:
    """A VAE with a time axis takes a batch of pictures for a video; the model is made to see one with that axis."""
    shapes: list[tuple[int, ...]] = []

    class Filming:
        latent_dim = 3

        def spacial_compression_encode(self) -> int:
            return 8

        def encode(self, pixels: Tensor) -> Tensor:
            shapes.append(tuple(pixels.shape))
            return vae.encode(pixels).unsqueeze(2)

        def decode(self, latent: Tensor) -> Tensor:
            shapes.append(tuple(latent.shape))
            return vae.decode(latent[:, :, 0]).unsqueeze(1)

    def flat(apply_model: Any, arguments: dict[str, Any]) -> Tensor:
        return apply_model(arguments["input"][:, :, 0], arguments["timestep"], **arguments["c"]).unsqueeze(2)

    film = model.clone()
    film.set_model_unet_function_wrapper(flat)
    how = Sampling(steps=2, mode="differential")
    painted = engine(model=film, vae=Filming()).repaint(a_repaint(), how, Counter())
    assert shapes == [(1, 64, 64, 3), (1, 4, 1, 8, 8)]
    torch.testing.assert_close(painted, engine().repaint(a_repaint(), how, Counter()), atol=1e-5, rtol=0)


def test_a_prompt_for_each_face_reaches_the_model(engine: Any) -> None:
    frames, faces = frames_with_faces()
    words = tiny.Words()
    prompts = PromptSettings(prompt="old, [PROMPT] [SEP] young", seeds="all the same")
    done = refine(frames, faces, engine(clip=words), host(), settings(prompts=prompts), PromptSource())
    assert words.texts == ["old", "young"]
    assert not torch.equal(*done.crops)
    assert [outcome.prompt for outcome in done.outcomes[0]] == ["old, [PROMPT]", "young"]
