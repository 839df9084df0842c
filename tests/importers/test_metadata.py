"""What generated images say of how they were made, family by family, letter by letter."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importers import metadata_files as made
from importers import metadata_graphs as graphs
from PIL import Image

from probes.importers.metadata import Metadata, read_metadata, read_name
from probes.importers.metadata.comfygraph import _WIDGETS

A1111 = Metadata(
    "automatic1111",
    negative_prompt=made.NEGATIVE,
    seed=1234567890,
    sampler="DPM++ 2M Karras",
    steps=20,
    guidance=7.5,
    model="v1-5-pruned",
    model_hash="6ce0161689",
    width=512,
    height=768,
    details={
        "Denoising strength": "0.7",
        "Lora hashes": "style: ab12, other: cd34",
        "ControlNet 0": "module: none, model: x\ny",
        "Version": "v1.6.0",
    },
)
COMFY = Metadata("comfyui", negative_prompt=made.NEGATIVE, seed=8566257, sampler="euler", steps=20, guidance=8.0)
COMFY = Metadata(**asdict(COMFY) | {"model": "v1-5.safetensors", "width": 512, "height": 768})
INVOKE = Metadata("invokeai", seed=7, sampler="k_lms", steps=50, guidance=7.5, width=640, height=512)


def expect(base: Metadata, prompt: str, **more: object) -> dict[str, object]:
    """What must be read, without details unless they are given."""
    return {"details": None, **asdict(base), "prompt": prompt, **more}


def parameters(value: str, below: bool = True) -> Iterator[tuple[str, bytes]]:
    """All the places of a text of parameters: PNG texts of every kind, and user comments."""
    latin = all(ord(letter) < 256 for letter in value)
    for form in ("tEXt", "zTXt") if latin else ():
        yield form, made.png_texts({"parameters": value}, form)
    for form in ("tEXt-utf8", "iTXt", "iTXt-z"):
        yield form, made.png_texts({"parameters": value}, form)
    yield "after", made.png(made.text_chunk("parameters", value), before=False)
    for order in "<>":
        for form in ("UTF-16-BE", "UTF-16-LE", "ASCII", "bare"):
            comment = made.user_comment(value, form)
            data = made.exif({0x0131: b"x\0"}, {0x9286: comment}, order) if below else made.exif({0x9286: comment})
            yield f"jpeg {form}{order}", made.jpeg_exif(data)
            yield f"webp {form}{order}", made.webp(data)
            yield f"eXIf {form}{order}", made.png(made.chunk(b"eXIf", data))


def families() -> Iterator[tuple[str, str, bytes, dict[str, object]]]:
    """Family and form, name of the prompt, the file, and what must be read of it."""
    for name, prompt in made.PROMPTS.items():
        negative = "" if name == "plain" else made.NEGATIVE
        for form, data in parameters(made.a1111(prompt, negative)):
            yield f"a1111 {form}", name, data, expect(A1111, prompt, negative_prompt=negative, details=A1111.details)
        for form, data in parameters(made.swarmui(prompt)):
            yield f"swarmui {form}", name, data, expect(SWARM, prompt, details=SWARM.details)
        yield from ((f"comfyui {form}", name, data, found) for form, data, found in comfy(prompt))
        yield from ((form, name, data, found) for form, data, found in others(prompt, name))


SWARM = Metadata(
    "swarmui",
    negative_prompt=made.NEGATIVE,
    seed=11,
    sampler="dpmpp_2m",
    steps=20,
    guidance=7.0,
    model="OfficialStableDiffusion/sd_xl_base_1.0",
    model_hash="0xd7a9",
    width=1152,
    height=896,
    details={
        "date": "2024-07-01",
        "generation_time": "1.1 sec",
        "aspectratio": "4:3",
        "swarm_version": "0.9.2.0",
    },
)


def comfy(prompt: str) -> Iterator[tuple[str, bytes, dict[str, object]]]:
    """Graphs in PNG and WebP, and drawings alone."""
    plain = graphs.comfy_plain(prompt)
    drawn = graphs.drawing(plain, _WIDGETS)
    found = expect(COMFY, prompt)
    for form in ("tEXt", "zTXt", "iTXt-z"):
        fields = {"prompt": json.dumps(plain), "workflow": json.dumps(drawn)}
        yield form, made.png_texts(fields, form), found
    data = made.exif(
        {0x010F: b"workflow:" + json.dumps(drawn).encode(), 0x0110: b"prompt:" + json.dumps(plain).encode()}
    )
    yield "webp", made.webp(b"Exif\0\0" + data), found
    yield "jpeg", made.jpeg_exif(data), found
    yield "drawing", made.png_texts({"workflow": json.dumps(drawn)}), found
    flux = expect(Metadata("comfyui", seed=77, sampler="euler", steps=24, guidance=3.5), prompt)
    flux |= {"model": "flux1-dev.safetensors", "width": 1024, "height": 576}
    flux["details"] = {"scheduler": "simple", "loras": ["face.safetensors"]}
    yield "flux", made.png_texts({"prompt": json.dumps(graphs.comfy_flux(prompt))}), flux
    many = expect(COMFY, prompt, details={"scheduler": "normal", "passes": 2})
    yield "many", made.png_texts({"prompt": json.dumps(graphs.comfy_many(prompt), ensure_ascii=False)}), many


def others(prompt: str, name: str) -> Iterator[tuple[str, bytes, dict[str, object]]]:
    """The other families."""
    third = Metadata("invokeai", negative_prompt=made.NEGATIVE, seed=99, sampler="euler_a", steps=30, guidance=7.5)
    model = {"model": "stable-diffusion-v1-5", "model_hash": "blake3:ab", "width": 512, "height": 768}
    yield "invokeai 3", made.png_texts(made.invoke_third(prompt)), expect(third, prompt, **model)
    second = {
        "model": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516",
        "negative_prompt": "blurry",
    }
    yield "invokeai 2", made.png_texts(made.invoke_second(prompt)), expect(INVOKE, prompt, **second)
    yield "dream", made.png_texts({"Dream": made.dream(prompt)}), expect(INVOKE, prompt, negative_prompt="blurry")
    asked = Metadata("midjourney", negative_prompt="blur, noise", seed=42, model="v 6.1", job_id=made.JOB)
    flags = {"ar": "16:9", "s": "250", "no": "blur, noise", "seed": "42", "v": "6.1"}
    details = {"flags": flags, "created": "Sat, 01 Jun 2024 10:00:00 GMT"}
    yield "midjourney", made.png_texts(made.midjourney(prompt)), expect(asked, prompt, details=details)
    novel = Metadata("novelai", negative_prompt=made.NEGATIVE, seed=3, sampler="k_euler", steps=28, guidance=11.0)
    named = {"model": "Stable Diffusion XL", "model_hash": "C1E1DE52", "width": 832, "height": 1216}
    for fourth in (False, True):
        fields = made.novelai(prompt, fourth=fourth)
        yield f"novelai {fourth}", made.png_texts(fields), expect(novel, prompt, **named)
    comment = made.user_comment(json.dumps(made.novelai(prompt, fourth=True)), "ASCII")
    yield "novelai webp", made.webp(made.exif({}, {0x9286: comment})), expect(novel, prompt, **named)
    yield from fooocus(prompt)
    easy = Metadata("easydiffusion", negative_prompt=made.NEGATIVE, seed=12, sampler="euler_a", steps=25, guidance=7.5)
    sizes = {"model": "models/sd-v1-4", "width": 512, "height": 768, "details": {}}
    for shown in (False, True):
        yield "easy", made.png_texts(made.easy_diffusion(prompt, shown=shown)), expect(easy, prompt, **sizes)
    comment = made.user_comment(json.dumps(made.easy_diffusion(prompt)))
    yield "easy jpeg", made.jpeg_exif(made.exif({}, {0x9286: comment})), expect(easy, prompt, **sizes)
    plain = Metadata("generic")
    yield "xmp jpeg", made.jpeg_xmp(made.xmp(prompt)), expect(plain, prompt)
    yield "xmp webp", made.webp(xmp=made.xmp(prompt)), expect(plain, prompt)
    yield "xmp png", made.png_texts({"XML:com.adobe.xmp": made.xmp(prompt)}, "iTXt"), expect(plain, prompt)
    if name != "steps":  # read as parameters, which this text is
        yield "description", made.jpeg_exif(made.exif({0x010E: prompt.encode() + b"\0"})), expect(plain, prompt)
        for form in ("UTF-16-LE", "UTF-16-BE"):
            for order in "<>":
                data = made.exif({}, {0x9286: made.user_comment(prompt, form)}, order)
                yield f"comment {form}{order}", made.webp(data), expect(plain, prompt)


def fooocus(prompt: str) -> Iterator[tuple[str, bytes, dict[str, object]]]:
    """Fooocus's own form and Automatic1111's."""
    own = Metadata("fooocus", negative_prompt=made.NEGATIVE, seed=2**64 - 1, sampler="dpmpp_2m_sde_gpu", steps=30)
    more = {"guidance": 4.0, "model": "juggernautXL_v8", "model_hash": "aeb7e9e689", "width": 1152, "height": 896}
    found, text = expect(own, prompt, **more), made.fooocus(prompt)
    yield "fooocus", made.png_texts({"parameters": text, "fooocus_scheme": "fooocus"}), found
    yield "fooocus alone", made.png_texts({"parameters": text}), found
    tags = {0x0131: b"Fooocus v2.2.0\0", 0x9286: text.encode() + b"\0", 0x927C: b"fooocus\0"}
    yield "fooocus jpeg", made.jpeg_exif(made.exif(tags)), found
    yield "fooocus webp", made.webp(made.exif(tags, order=">")), found
    other = made.png_texts({"parameters": made.a1111(prompt), "fooocus_scheme": "a1111"})
    yield "fooocus a1111", other, expect(A1111, prompt, generator="fooocus", details=A1111.details)


CASES = [pytest.param(data, want, id=f"{form}-{name}") for form, name, data, want in families()]


@pytest.mark.parametrize(("data", "want"), CASES)
def test_every_form_is_read_exactly(data: bytes, want: dict[str, object]) -> None:
    Image.open(io.BytesIO(data)).load()  # a real image
    found = read_metadata(data)
    assert found is not None
    read = asdict(found)
    if want["details"] is None or not want["details"]:
        read["details"] = want["details"]
    assert read == want
    assert made.AUTHOR not in json.dumps(asdict(found), ensure_ascii=False)


def test_a_file_is_read_like_its_content_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(made.png_texts({"parameters": made.a1111("a nurse")}))
    before = path.stat()
    assert read_metadata(path) == read_metadata(path.read_bytes()) == read_metadata(str(path))
    assert path.stat() == before


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", b"GIF89a" + bytes(50), made.png(), made.jpeg(), made.webp(), made.png_texts({"dpi": "72"})],
    ids=["empty", "text", "gif", "png", "jpeg", "webp", "key"],
)
def test_images_that_say_nothing(data: bytes) -> None:
    assert read_metadata(data) is None


def test_families_are_told_apart_where_their_keys_collide() -> None:
    graph = json.dumps(graphs.comfy_plain("of the graph"))
    both = read_metadata(made.png_texts({"prompt": graph, "parameters": made.a1111("resolved")}))
    assert both is not None and (both.generator, both.prompt) == ("automatic1111", "resolved")
    swarm = read_metadata(made.png_texts({"prompt": graph, "parameters": made.swarmui("of Swarm")}))
    assert swarm is not None and (swarm.generator, swarm.prompt) == ("swarmui", "of Swarm")
    three = made.invoke_third("new") | made.invoke_second("old") | {"parameters": made.a1111("copied")}
    invoke = read_metadata(made.png_texts(three))
    assert invoke is not None and (invoke.generator, invoke.prompt) == ("invokeai", "new")
    easy = read_metadata(made.png_texts(made.easy_diffusion("{red|blue} scrubs")))
    assert easy is not None and easy.generator == "easydiffusion"
    plain = read_metadata(made.png_texts({"prompt": "a nurse", "seed": "4", "Author": made.AUTHOR}))
    assert plain is not None and (plain.generator, plain.prompt, plain.seed) == ("generic", "a nurse", 4)
    title = read_metadata(made.png_texts({"Description": "a nurse", "Software": "paint"}))
    assert title is not None and (title.prompt, title.details["software"]) == ("a nurse", "paint")


def test_parameters_without_settings_or_prompt() -> None:
    only = read_metadata(made.png_texts({"parameters": "a nurse\nSteps: two"}))
    assert only is not None and (only.prompt, only.steps) == ("a nurse\nSteps: two", None)
    none = read_metadata(made.png_texts({"parameters": "Negative prompt: bad\nSteps: 1, Sampler: a, Seed: 2"}))
    assert none is not None and (none.prompt, none.negative_prompt, none.seed) == ("", "bad", 2)
    below = read_metadata(
        made.png_texts({"parameters": 'a\nSteps: 1, Sampler: a, Seed: 2, Hashes: {"m": "x, y"}\nTemplate: "__a__, b"'})
    )
    assert below is not None and below.details == {"Hashes": '{"m": "x, y"}', "Template": "__a__, b"}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1), st.integers(0, 2**64))
def test_any_prompt_in_any_family(prompt: str, seed: int) -> None:
    if prompt.startswith("Negative prompt:"):
        prompt = f"x{prompt}"
    read = read_metadata(made.png_texts({"parameters": f"{prompt}\nSteps: 20, Sampler: Euler a, Seed: {seed}"}, "iTXt"))
    assert read is not None
    assert (read.prompt, read.seed) == (prompt, seed)
    graph = graphs.comfy_plain(prompt or "x")
    found = read_metadata(made.png_texts({"prompt": json.dumps(graph)}, "iTXt-z"))
    assert found is not None and found.prompt == (prompt if prompt.strip() else "")
    swarm = read_metadata(made.jpeg_exif(made.exif({}, {0x9286: made.user_comment(made.swarmui(prompt))})))
    assert swarm is not None and swarm.prompt == prompt


def test_comfy_graphs_of_other_kinds() -> None:
    def read(graph: dict[str, graphs.Entry]) -> Metadata:
        found = read_metadata(made.png_texts({"prompt": json.dumps(graph)}))
        assert found is not None
        return found

    graph = graphs.comfy_plain("one")
    graph["3"]["inputs"] |= {"positive": ["20", 0], "seed": ["22", 0]}  # type: ignore[operator]
    graph |= {
        "20": graphs.node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["21", 0]),
        "21": graphs.node("CLIPTextEncodeFlux", clip_l="two", t5xxl="three", guidance=2, clip=["4", 1]),
        "22": graphs.node("Seed (rgthree)", seed=5),
    }
    found = read(graph)
    assert (found.prompt, found.details["prompts"], found.seed) == ("one\ntwo\nthree", ["one", "two", "three"], 5)
    loader = graphs.comfy_plain("")
    loader["3"]["inputs"] |= {"positive": ["4", 1], "negative": ["4", 2]}  # type: ignore[operator]
    loader["4"] = graphs.node("Efficient Loader", ckpt_name="a.ckpt", positive="good", negative="bad")
    assert (read(loader).prompt, read(loader).negative_prompt, read(loader).model) == ("good", "bad", "a.ckpt")
    styled = graphs.comfy_plain("")
    styled["6"] = graphs.node("CLIPTextEncode", text=["30", 0], clip=["4", 1])
    styled["7"] = graphs.node("CLIPTextEncode", text=["30", 1], clip=["4", 1])
    styled["30"] = graphs.node("SDXLPromptStyler", text_positive="good", text_negative="bad", style="base")
    assert (read(styled).prompt, read(styled).negative_prompt) == ("good", "bad")
    wild = graphs.comfy_plain("")
    wild["6"] = graphs.node("ImpactWildcardEncode", wildcard_text="__a__", populated_text="a nurse", clip=["4", 1])
    assert read(wild).prompt == "a nurse"
    zero = graphs.comfy_plain("a nurse")
    zero["7"] = graphs.node("ConditioningZeroOut", conditioning=["6", 0])
    assert (read(zero).prompt, read(zero).negative_prompt) == ("a nurse", "")


def test_names_of_files_of_midjourney() -> None:
    found = read_name(f"folder/erika_a_photo_of_a_nurse_{made.JOB}_3.png")
    assert found == Metadata(
        "midjourney",
        "a photo of a nurse",
        job_id=made.JOB,
        details={"prompt_from": "file name", "image_of_job": 3},
    )
    assert read_name(f"erika_a_nurse_{made.JOB.upper()} (1).webp") == read_metadata(
        made.png(), f"erika_a_nurse_{made.JOB}.png"
    )
    alone = read_name(f"erika_{made.JOB}.png")
    assert alone is not None and (alone.prompt, alone.job_id) == ("", made.JOB)
    for name in ("nurse_1.png", f"{made.JOB}.png", "a_photo_of_a_nurse.png", ""):
        assert read_name(name) is None
    told = read_metadata(made.png_texts(made.midjourney("told")), f"erika_named_{made.JOB}.png")
    assert told is not None and told.prompt == "told"


def test_flags_of_midjourney_end_the_prompt() -> None:
    fields = {"Description": f"a nurse -- tired --hopeful, 5--6 pm —ar 3:2 --niji 6 --p abc --tile Job ID: {made.JOB}"}
    found = read_metadata(made.png_texts(fields))
    assert found is not None
    assert (found.prompt, found.model) == ("a nurse -- tired --hopeful, 5--6 pm", "niji 6")
    assert found.details == {"flags": {"ar": "3:2", "niji": "6", "p": "", "tile": ""}}
