"""What the engine of Refine Faces makes of prompts: texts and places in the frame, on a real ComfyUI with a tiny random
model. Started by ``test_refine_comfyui.py``.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from visage.faces.geometry import apply, invert
from visage.faces.windows import Window, WindowSettings, extract_window, plan_window
from visage.models.refiners import Sampling
from visage.pipeline import refine
from visage.pipeline.refine_settings import PromptSettings
from visage.tests import comfy_diffusion as tiny
from visage.tests.refine_fixtures import Counter, a_repaint, frames_with_faces, host, settings, window_of

pytest_plugins = ("visage.tests.refine_fixtures",)


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
