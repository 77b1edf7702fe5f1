"""The engine of Refine Faces on a real ComfyUI, with a tiny random model. Started by ``test_refine_comfyui.py``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.face import Face, Faces
from visage.faces.geometry import apply, invert
from visage.faces.windows import Window, WindowSettings, extract_window, plan_window
from visage.models.refiners import Repaint, Sampling
from visage.pipeline import PromptSource, RefineSettings, refine
from visage.pipeline.refine_settings import EdgeSettings, PromptSettings
from visage.tests import comfy_diffusion as tiny
from visage.tests import comfy_side

SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "ddim", "uni_pc", "lcm")
SCHEDULERS = ("normal", "karras", "simple", "beta")
SMALL = WindowSettings(guide_size=24, crop_factor=2.0, max_size=64)
EDGE = EdgeSettings(feather=3, noise_feather=4, dilation=0)


@pytest.fixture(scope="module", autouse=True)
def pack(base: Path) -> ModuleType:
    comfy_side.begin(base)
    import visage.nodes

    torch.set_num_threads(1)
    return visage.nodes


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model(pack: ModuleType) -> Any:
    return tiny.model_of()


@pytest.fixture(scope="module")
def inpaint_model(pack: ModuleType) -> Any:
    return tiny.model_of(in_channels=9)


@pytest.fixture(scope="module")
def vae(pack: ModuleType) -> Any:
    return tiny.vae_of()


@pytest.fixture
def engine(model: Any, vae: Any) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        from visage.nodes.refining import ComfyRefiner

        given = {"vae": vae, "model": model, "positive": tiny.conditioning(5), "negative": tiny.conditioning(6)}
        return ComfyRefiner(**given | changes)

    return make


class Counter:
    """A progress that stops the work when it is told to."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.steps, self.calls, self.stop_at = 0, 0, stop_at

    def advance(self, steps: int = 1) -> None:
        import comfy.model_management

        self.steps += steps
        self.calls += 1
        if self.calls >= self.stop_at:
            raise comfy.model_management.InterruptProcessingException


def a_repaint(side: int = 64, **changes: Any) -> Repaint:
    generator = torch.Generator().manual_seed(20)
    mask = torch.zeros(side, side)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = torch.linspace(0.2, 1, side // 2)
    given = {
        "pixels": torch.rand(side, side, 3, generator=generator),
        "mask": mask,
        "window": Window(0, side, side, torch.tensor([[1.0, 0, -8], [0, 1, -16]], dtype=torch.float64), 120, 100),
        "prompt": "",
        "negative": "",
        "seed": 7,
        "denoise": 0.5,
    }
    return Repaint(**given | changes)


def frames_with_faces(count: int = 1) -> tuple[Tensor, Faces]:
    """Two frames with two alike faces in each of the first ``count``."""
    generator = torch.Generator().manual_seed(21)
    frames = torch.rand(2, 80, 112, 3, generator=generator)
    frames[:, :, 56:] = frames[:, :, :56]
    pair = (Face((16, 24, 40, 56), index=0), Face((72, 24, 96, 56), index=1))
    return frames, Faces(112, 80, tuple(pair if frame < count else () for frame in range(2)))


def settings(mode: str = "noise mask", **changes: Any) -> RefineSettings:
    sampling = {"steps": 2, "mode": mode, "denoise": 0.5} | changes.pop("sampling", {})
    return RefineSettings(sampling=Sampling(**sampling), window=SMALL, edge=EDGE, **changes)


def host() -> Any:
    from visage.nodes.host import ComfyHost

    return ComfyHost()


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


def window_of(faces: Faces, index: int) -> Window:
    face = faces.frames[0][index]
    return plan_window(0, face.box, face.roll, faces.width, faces.height, SMALL, 8)


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


# Texts


def test_each_text_is_encoded_once(engine: Any) -> None:
    words = tiny.Words()
    one = engine(clip=words)
    for text in ("old", "young", "old", "old, [PROMPT]"):
        one.repaint(a_repaint(prompt=text, negative="young"), Sampling(steps=1, mode="noise mask"), Counter())
    assert sorted(words.texts) == ["old", "young"]


def test_the_mark_joins_the_text_to_the_connected_prompt(pack: ModuleType) -> None:
    from visage.nodes.refining.conditions import Texts

    words = tiny.Words()
    graph = tiny.conditioning(5, attention_mask=torch.zeros(1, 77))
    copy = graph[0][0].clone()
    ((tokens, rest),) = Texts(words).conditioning("old, [PROMPT], at sea", graph)
    assert words.texts == ["old", "at sea"]
    parts = [words.encode_from_tokens_scheduled("old")[0][0], copy, words.encode_from_tokens_scheduled("at sea")[0][0]]
    assert torch.equal(tokens, torch.cat(parts, 1))
    assert rest["pooled_output"] is graph[0][1]["pooled_output"]
    assert rest["attention_mask"].tolist() == [[1.0] * 77 + [0.0] * 77 + [1.0] * 77]
    assert torch.equal(graph[0][0], copy)
    assert graph[0][1]["attention_mask"].shape == (1, 77)
    for text in ("", " [PROMPT] ", "[PROMPT],"):
        assert Texts(None).conditioning(text, graph) is graph
    with pytest.raises(ValueError, match="text encoders of different kinds"):
        Texts(tiny.Words(32)).conditioning("old [PROMPT]", graph)


def test_a_text_replaces_the_words_and_leaves_what_else_is_said(pack: ModuleType) -> None:
    from visage.nodes.refining.conditions import Texts

    control, latent, old = object(), torch.zeros(1, 4, 8, 8), torch.zeros(1, 77)
    kept = {
        "control": control,
        "guidance": 9.0,
        "reference_latents": [latent],
        "start_percent": 0.1,
        "end_percent": 0.7,
    }
    worded = {"attention_mask": old, "cross_attn_controlnet": old, "pooled_output_controlnet": old}
    graph = tiny.conditioning(5, **kept, **worded)
    words = tiny.Words()
    ((tokens, rest),) = Texts(words).conditioning("smile", graph)
    (expected,) = words.encode_from_tokens_scheduled("smile")
    assert torch.equal(tokens, expected[0])
    assert rest.keys() == kept.keys() | {"pooled_output"}
    assert all(rest[key] is kept[key] for key in kept)
    assert torch.equal(rest["pooled_output"], expected[1]["pooled_output"])
    assert graph[0][1].keys() == kept.keys() | worded.keys() | {"pooled_output"}


def test_a_text_in_the_place_of_several_prompts_holds_everywhere_with_what_each_of_them_says(pack: ModuleType) -> None:
    from visage.nodes.refining.conditions import Texts

    def said(*given: dict[str, Any]) -> list[dict[str, Any]]:
        graph = [pair for number, rest in enumerate(given) for pair in tiny.conditioning(number, **rest)]
        found = Texts(tiny.Words()).conditioning("smile", graph)
        assert all(torch.equal(tokens, found[0][0]) for tokens, _ in found)
        return [{key: value for key, value in rest.items() if key != "pooled_output"} for _, rest in found]

    control, mask = object(), torch.ones(1, 80, 112)
    here, there = {"mask": mask, "mask_strength": 0.5}, {"area": (4, 4, 0, 0), "strength": 0.5}
    assert said(here, there, {}) == [{}]
    shared = {"control": control, "guidance": 3.5}
    assert said(shared | here, shared | {"guidance": 7.0 / 2} | there) == [shared]
    assert said(here, there | {"control": control}) == [{}, {"control": control}]
    early, late = {"start_percent": 0.0, "end_percent": 0.5}, {"start_percent": 0.5, "end_percent": 1.0}
    assert said(early, early | here, late | there) == [early, late]
    assert said({"gligen": ("position", None, [])}) == [{}]


def test_a_text_goes_by_the_prompts_whose_places_touch_the_crop(engine: Any) -> None:
    import comfy.samplers

    left, right = torch.zeros(1, 80, 112), torch.zeros(1, 80, 112)
    left[..., :56], right[..., 56:] = 1, 1
    positive = [*tiny.conditioning(5, mask=left, tag=1), *tiny.conditioning(7, mask=right, tag=2)]
    given: list[list[int]] = []

    class Watched(comfy.samplers.CFGGuider):
        def inner_set_conds(self, conds: Any) -> None:
            given.append([rest.get("tag") for _, rest in conds["positive"]])
            super().inner_set_conds(conds)

    frames, faces = frames_with_faces()
    one = engine(positive=positive, clip=tiny.Words())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.samplers, "CFGGuider", Watched)
        refine(frames, faces, one, host(), settings(prompts=PromptSettings(prompt="smile")))
    assert given == [[1], [2]]


def test_hooks_of_the_graph_and_of_the_text_both_act(pack: ModuleType) -> None:
    import comfy.hooks
    from visage.nodes.refining.conditions import Texts

    of_both, of_graph, of_text = (comfy.hooks.create_hook_lora({}, strength, 0.0) for strength in (1.0, 2.0, 3.0))

    class Hooked(tiny.Words):
        def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
            ((made, rest),) = super().encode_from_tokens_scheduled(tokens)
            return [[made, rest | {"hooks": of_both.clone_and_combine(of_text)}]]

    graph = tiny.conditioning(5, hooks=of_both.clone_and_combine(of_graph))
    for text in ("smile", "smile, [PROMPT]"):
        ((_, rest),) = Texts(Hooked()).conditioning(text, graph)
        assert [hook.strength_model for hook in rest["hooks"].hooks] == [1.0, 2.0, 3.0]
    assert len(graph[0][1]["hooks"].hooks) == 2


def test_texts_that_hooks_change_from_step_to_step_are_joined_step_by_step(pack: ModuleType) -> None:
    from visage.nodes.refining.conditions import Texts

    class Scheduled(tiny.Words):
        def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
            return [
                [made, rest | {"clip_start_percent": start, "clip_end_percent": start + 0.5}]
                for start in (0.0, 0.5)
                for made, rest in super(Scheduled, self).encode_from_tokens_scheduled(f"{tokens} from {start}")
            ]

    def spans(found: Any) -> list[tuple[float, float]]:
        return [(rest["clip_start_percent"], rest["clip_end_percent"]) for _, rest in found]

    words, graph = Scheduled(), tiny.conditioning(5)
    alone, joined = (Texts(words).conditioning(text, graph) for text in ("smile", "smile, [PROMPT]"))
    assert spans(alone) == spans(joined) == [(0.0, 0.5), (0.5, 1.0)]
    for (one, _), (two, _) in zip(alone, joined, strict=True):
        assert torch.equal(two, torch.cat([one, graph[0][0]], 1))
    assert not torch.equal(alone[0][0], alone[1][0])
    # The prompt of the graph was read by the same CLIP: each of its texts is joined to the one of the same steps.
    both = Texts(words).conditioning("smile, [PROMPT]", words.encode_from_tokens_scheduled("a face"))
    assert spans(both) == [(0.0, 0.5), (0.5, 1.0)]


def test_what_break_parts_is_read_apart_and_put_in_a_row(pack: ModuleType) -> None:
    from visage.nodes.refining.conditions import Texts

    words, graph = tiny.Words(), tiny.conditioning(5)
    ((tokens, rest),) = Texts(words).conditioning("old BREAK\nat sea", graph)
    assert words.texts == ["old", "at sea"]
    first, second = (words.encode_from_tokens_scheduled(text)[0] for text in ("old", "at sea"))
    assert torch.equal(tokens, torch.cat([first[0], second[0]], 1))
    assert torch.equal(rest["pooled_output"], first[1]["pooled_output"])
    ((tokens, _),) = Texts(words).conditioning("[PROMPT] BREAK old, BREAK", graph)
    assert torch.equal(tokens, torch.cat([graph[0][0], words.encode_from_tokens_scheduled("old,")[0][0]], 1))
    plain = tiny.Words()
    Texts(plain).conditioning("break BREAKFAST", graph)
    assert plain.texts == ["break BREAKFAST"]
    for text in ("BREAK", " BREAK [PROMPT]"):
        assert Texts(None).conditioning(text, graph) is graph


def test_a_text_without_clip_is_an_error_that_says_so(engine: Any) -> None:
    with pytest.raises(ValueError, match="connect clip"):
        engine().repaint(a_repaint(prompt="a face"), Sampling(steps=1), Counter())


# Places in the frame


def turned_window(roll: float, frame: int = 0) -> Window:
    return plan_window(frame, (50.0, 40.0, 90.0, 88.0), roll, 200, 160, WindowSettings(guide_size=64), 8)


def mark(height: int, width: int, x: float, y: float, radius: float) -> Tensor:
    """``[1, 3, height, width]`` with a soft disk at (x, y)."""
    across = torch.arange(width)[None, :] - x
    down = torch.arange(height)[:, None] - y
    disk = (radius + 0.5 - (across**2 + down**2).sqrt()).clamp(0, 1)
    return disk.expand(1, 3, height, width).contiguous()


def centre_of(plane: Tensor) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in plane.shape), indexing="ij")
    return torch.stack([(plane * x).sum(), (plane * y).sum()]) / plane.sum()


@pytest.mark.parametrize("roll", [0.0, 35.0, -80.0, 180.0])
@pytest.mark.parametrize("size", [1.0, 0.5, 2.0])
def test_a_mark_in_a_control_image_stays_on_its_pixel_of_the_image(pack: ModuleType, roll: float, size: float) -> None:
    import comfy.controlnet
    from visage.nodes.refining.placing import Placing

    window = turned_window(roll)
    x, y = 77.0, 52.0
    height, width = int(160 * size), int(200 * size)
    hint = mark(height, width, (x + 0.5) * size - 0.5, (y + 0.5) * size - 0.5, 6 * size)
    frame = mark(160, 200, x, y, 6)
    first, second = comfy.controlnet.ControlNet(), comfy.controlnet.ControlNet()
    for control in (first, second):
        control.control_model_wrapped = None
        control.set_cond_hint(hint, 0.8, (0.1, 0.9))
    second.set_previous_controlnet(first)
    placing = Placing(window, 8)
    given = tiny.conditioning(1, control=second)
    ((_, one),), ((_, two),) = placing.conditioning(given), placing.conditioning(tiny.conditioning(2, control=second))
    assert one["control"] is two["control"]
    expected = apply(window.matrix, torch.tensor([[x, y]], dtype=torch.float64))[0]
    for own in (one["control"], one["control"].previous_controlnet):
        assert own.cond_hint_original.shape == (1, 3, window.height, window.width)
        assert (own.strength, own.timestep_percent_range) == (0.8, (0.1, 0.9))
        found = centre_of(own.cond_hint_original[0, 0])
        torch.testing.assert_close(found, expected, atol=0.3 * window.scale, rtol=0)
        seen = centre_of(extract_window(frame.movedim(1, -1), window)[..., 0])
        torch.testing.assert_close(found, seen, atol=0.3 * window.scale, rtol=0)
    assert second.cond_hint_original is hint
    assert second.previous_controlnet is first
    assert given[0][1]["control"] is second


def test_any_number_of_planes_is_taken_along(pack: ModuleType) -> None:
    from visage.nodes.refining.placing import Placing

    window = turned_window(35.0)
    planes = torch.rand(2, 3, 160, 200, generator=torch.Generator().manual_seed(1)) * 4 - 2
    seen = Placing(window, 8).planes(planes)
    assert seen.shape == (2, 3, window.height, window.width)
    torch.testing.assert_close(seen[1, 2], Placing(window, 8).planes(planes[1, 2]))
    assert float(seen.min()) < -1
    assert float(seen.max()) > 1


def test_masks_of_conditionings_are_taken_along(pack: ModuleType) -> None:
    from visage.nodes.refining.placing import Placing

    window = turned_window(35.0, frame=1)
    masks = torch.cat([mark(160, 200, 20, 20, 6)[:, 0], mark(160, 200, 77, 52, 6)[:, 0]])
    given = tiny.conditioning(1, mask=masks, mask_strength=2.0)
    ((_, placed),) = Placing(window, 8).conditioning(given)
    assert placed["mask"].shape == (1, window.height, window.width)
    assert placed["mask_strength"] == 2.0
    expected = apply(window.matrix, torch.tensor([[77.0, 52.0]], dtype=torch.float64))[0]
    torch.testing.assert_close(centre_of(placed["mask"][0]), expected, atol=0.2, rtol=0)
    assert given[0][1]["mask"] is masks


@pytest.mark.parametrize("size", [(64, 64), (240, 60), (160, 200)])
def test_masks_of_other_proportions_lie_where_comfyui_lays_them(pack: ModuleType, size: tuple[int, int]) -> None:
    import comfy.samplers
    from visage.nodes.refining.placing import Placing

    height, width = size
    mask = torch.zeros(1, height, width)
    mask[:, : height // 4, : width // 2] = 1
    whole = Window(0, 200, 160, torch.eye(2, 3, dtype=torch.float64), 200, 160)
    ((_, placed),) = Placing(whole, 8).conditioning(tiny.conditioning(1, mask=mask))
    expected = [{"mask": mask}]
    comfy.samplers.resolve_areas_and_cond_masks_multidim(expected, (160, 200), "cpu")
    # As area and bilinear shrink differently, only where the mask is beyond doubt.
    assert float(((placed["mask"] > 0.5) != (expected[0]["mask"] > 0.5)).float().mean()) < 0.01
    assert placed["mask"][0, :36, :90].min() > 0.99
    assert placed["mask"][0, 44:].max() < 0.01
    assert placed["mask"][0, :, 110:].max() < 0.01


def straight(scale: float = 2.0) -> Window:
    """Shows 64 x 64 pixels of a 200 x 160 frame from (40, 32) on."""
    shift = [(0.5 - at) * scale - 0.5 for at in (40, 32)]
    matrix = torch.tensor([[scale, 0, shift[0]], [0, scale, shift[1]]], dtype=torch.float64)
    side = round(64 * scale)
    start = apply(invert(matrix), torch.tensor([[-0.5, -0.5]], dtype=torch.float64))
    assert torch.allclose(start, torch.tensor([[39.5, 31.5]], dtype=torch.float64))
    return Window(0, side, side, matrix, 200, 160)


def test_areas_are_cut_to_the_window_in_cells_of_its_latent(pack: ModuleType) -> None:
    from visage.nodes.refining.placing import Placing

    def area(*given: Any) -> Any:
        ((_, rest), *_) = Placing(straight(), 8).conditioning(
            [*tiny.conditioning(1, area=given), *tiny.conditioning(2, marker=True)]
        )
        return rest.get("area")

    # Height, width, top, left in cells of 8 pixels; the window shows cells 4..12 down and 5..13 across, doubled.
    assert area(4, 4, 6, 7) == (8, 8, 4, 4)
    assert area(20, 25, 0, 0) == (16, 16, 0, 0)
    assert area(8, 6, 0, 0) == (8, 8, 0, 0)
    assert area("percentage", 0.5, 0.5, 0.0, 0.0) == (12, 15, 0, 0)
    # Of a video: its length is of no use for a picture.
    assert area(1, 4, 4, 0, 6, 7) == (8, 8, 4, 4)
    assert area(1, 1, 11, 12) == (8, 8, 8, 8)
    # Does not touch the window: the one without an area is the first that is left.
    assert area(3, 3, 0, 0) is None
    assert area(3, 3, 13, 0) is None


def test_if_no_area_touches_the_window_all_apply_everywhere(pack: ModuleType) -> None:
    from visage.nodes.refining.placing import Placing

    given = [*tiny.conditioning(1, area=(2, 2, 0, 0)), *tiny.conditioning(2, area=(2, 2, 17, 0))]
    placed = Placing(straight(), 8).conditioning(given)
    assert [("area" in rest) for _, rest in placed] == [False, False]
    assert [tokens is before for (tokens, _), (before, _) in zip(placed, given, strict=True)] == [True, True]


def test_boxes_of_gligen_and_values_of_the_whole_frame(pack: ModuleType) -> None:
    from visage.nodes.refining.placing import Placing

    words = torch.zeros(1, 8)
    boxes = [(words, 4, 4, 6, 7), (words, 2, 2, 0, 0)]
    given = tiny.conditioning(1, gligen=("position", "the model", boxes), concat_mask=words, concat_latent_image=words)
    ((_, placed),) = Placing(straight(), 8).conditioning(given)
    assert placed["gligen"] == ("position", "the model", [(words, 8, 8, 4, 4)])
    assert not {"concat_mask", "concat_latent_image"} & set(placed)
    assert len(boxes) == 2


def test_a_control_sees_the_crop_while_sampling_and_nothing_given_changes(engine: Any, model: Any) -> None:
    import comfy.controlnet

    seen: list[Tensor] = []

    class Watching(comfy.controlnet.ControlBase):
        def copy(self) -> Any:
            other = Watching()
            self.copy_to(other)
            return other

        def get_control(self, x_noisy: Tensor, *rest: Any) -> None:
            seen.append(self.cond_hint_original)

        def get_models(self) -> list[Any]:
            return []

    frames, faces = frames_with_faces()
    hint = frames[:1].movedim(-1, 1).contiguous()
    control = Watching().set_cond_hint(hint)
    positive = tiny.conditioning(5, control=control, area=(10, 14, 0, 0), strength=0.5)
    negative = tiny.conditioning(6, control=control)
    before = [(tokens, dict(rest)) for tokens, rest in positive + negative]
    options = dict(model.model_options)
    patches = dict(model.patches), dict(model.object_patches)
    refine(frames, faces, engine(positive=positive, negative=negative), host(), settings("differential", max_faces=1))
    window = window_of(faces, 0)
    assert seen
    assert window.scale == 1
    torch.testing.assert_close(seen[0][0].movedim(0, -1), extract_window(frames, window), atol=1e-6, rtol=0)
    assert control.cond_hint_original is hint
    for (tokens, rest), (old_tokens, old_rest) in zip(positive + negative, before, strict=True):
        assert tokens is old_tokens
        assert rest.keys() == old_rest.keys()
        assert all(rest[key] is old_rest[key] for key in rest)
    assert model.model_options == options
    assert (model.patches, model.object_patches) == patches


def test_a_control_acts_on_a_text_as_on_the_prompt_that_it_replaces(engine: Any) -> None:
    import comfy.controlnet

    batches: list[int] = []

    class Watching(comfy.controlnet.ControlBase):
        def copy(self) -> Any:
            other = Watching()
            self.copy_to(other)
            return other

        def get_control(self, x_noisy: Tensor, t: Any, cond: Any, batched_number: int, *rest: Any) -> None:
            batches.append(batched_number)

        def get_models(self) -> list[Any]:
            return []

    frames, faces = frames_with_faces()
    control = Watching().set_cond_hint(frames[:1].movedim(-1, 1).contiguous())
    graph = {"positive": tiny.conditioning(5, control=control), "negative": tiny.conditioning(6, control=control)}
    for prompt in ("", "smile", "smile, [PROMPT]"):
        batches.clear()
        how = settings(max_faces=1, prompts=PromptSettings(prompt=prompt))
        refine(frames, faces, engine(clip=tiny.Words(), **graph), host(), how)
        assert batches == [2, 2], prompt


class Patched:
    """In the place of a network of a patch: latents stay what they are, and nothing is controlled."""

    additional_in_dim = 4
    cond_in_channels = 3

    def process_input_latent_image(self, latent: Tensor) -> Tensor:
        return latent


class Seeing:
    """A VAE that keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def encode(self, pixels: Tensor) -> Tensor:
        self.seen.append(pixels)
        return pixels.movedim(-1, 1)[..., ::8, ::8].repeat(1, 6, 1, 1)[:, :16]


def test_controls_that_are_patches_of_the_model_see_the_crop(engine: Any, model: Any) -> None:
    lllite = pytest.importorskip("comfy.ldm.anima.lllite", reason="this ComfyUI has no LLLite of Anima yet")
    from comfy_extras import nodes_model_patch as peers
    from visage.nodes.refining.patches import for_window
    from visage.nodes.refining.placing import Placing

    frames, faces = frames_with_faces()
    window, vae, network = window_of(faces, 0), Seeing(), SimpleNamespace(model=Patched(), models=list)
    frame, crop = frames[:1], extract_window(frames, window)
    mask = torch.zeros(1, 1, 80, 112)
    mask[..., :28] = 1
    qwen = peers.DiffSynthCnetPatch(network, vae, frame, 1.0, mask)
    image = peers.ZImageControlPatch(network, vae, frame, 0.5, inpaint_image=frame, mask=mask)
    anima = lllite.AnimaLLLitePatch(network, frame, None, 1.0, 99.0, 0.0)
    other = SimpleNamespace(image=frame)
    given = model.clone()
    given.set_model_double_block_patch(qwen)
    given.set_model_double_block_patch(image)
    given.set_model_noise_refiner_patch(image)
    given.set_model_patch(lllite.AnimaLLLiteMLPPatch(anima), "mlp_patch")
    given.set_model_post_input_patch(anima)
    given.set_model_attn1_patch(other)
    vae.seen.clear()
    own = for_window(given, Placing(window, 8)).model_options["transformer_options"]["patches"]
    for each in (own["double_block"][0], own["double_block"][1], own["post_input"][0]):
        torch.testing.assert_close(each.image[0], crop, atol=1e-6, rtol=0)
    torch.testing.assert_close(own["double_block"][1].inpaint_image[0], crop, atol=1e-6, rtol=0)
    assert own["double_block"][1] is own["noise_refiner"][0]
    assert own["mlp_patch"][0].patch is own["post_input"][0]
    assert own["attn1_patch"] == [other]
    # What they control with is made of the crop, and of what the mask leaves of it.
    assert {tuple(seen.shape[1:3]) for seen in vae.seen} == {(window.height, window.width)}
    torch.testing.assert_close(vae.seen[0][0], crop, atol=1e-6, rtol=0)
    start = round(-float(window.matrix[0, 2]))
    for each in own["double_block"][:2]:
        expected = mask[0, 0, :1, start : start + window.width].expand(window.height, -1)
        torch.testing.assert_close(each.mask.reshape(window.height, window.width), expected, atol=1e-5, rtol=0)
    assert given.model_options["transformer_options"]["patches"]["double_block"] == [qwen, image]
    assert qwen.image is image.image is anima.image is frame
    assert for_window(model, Placing(window, 8)) is model


def test_a_model_or_guider_with_such_patches_samples_with_those_of_the_crop(engine: Any, model: Any) -> None:
    import comfy.samplers
    from comfy_extras.nodes_model_patch import DiffSynthCnetPatch

    frames, _ = frames_with_faces()
    network = SimpleNamespace(model=Patched(), models=list)
    patch = DiffSynthCnetPatch(network, Seeing(), frames[:1], 1.0)
    # The tiny model has no such blocks: what it is given tells.
    seen: list[Any] = []

    def spy(apply_model: Any, arguments: dict[str, Any]) -> Tensor:
        seen.append(arguments["c"]["transformer_options"]["patches"]["double_block"][0].image)
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    given = model.clone()
    given.set_model_double_block_patch(patch)
    given.set_model_unet_function_wrapper(spy)
    guider = comfy.samplers.CFGGuider(given)
    guider.set_conds(tiny.conditioning(5), tiny.conditioning(6))
    work = a_repaint(window=Window(0, 64, 64, torch.tensor([[1.0, 0, -8], [0, 1, -16]], dtype=torch.float64), 112, 80))
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(DiffSynthCnetPatch, "models", lambda self: [])
        for one in (engine(model=given), engine(model=None, guider=guider)):
            seen.clear()
            one.repaint(work, Sampling(steps=1, mode="differential"), Counter())
            assert seen
            for image in seen:
                torch.testing.assert_close(image[0], frames[0, 16:, 8:72], atol=1e-6, rtol=0)
    assert guider.model_patcher is given
    assert guider.model_options["transformer_options"]["patches"]["double_block"] == [patch]


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
