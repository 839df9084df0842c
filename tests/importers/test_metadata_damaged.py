"""Damaged, malicious and enormous metadata: one clear reason each, bounded work, never a crash."""

from __future__ import annotations

import json
import os
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from importers import metadata_files as made
from importers import metadata_graphs as graphs

from probes.importers.metadata import MetadataError, chunks, read_metadata

PROMPT = "a photo of a nurse"
GRAPH = json.dumps(graphs.comfy_plain(PROMPT))


def cut(text: str) -> str:
    return text[: len(text) * 2 // 3]


def comment(text: str) -> bytes:
    return made.jpeg_exif(made.exif({}, {0x9286: made.user_comment(text)}))


def damaged(fields: dict[str, str], key: str) -> bytes:
    """A PNG whose text `key` has a flipped bit."""
    return made.png(*(made.text_chunk(name, value, damaged=name == key) for name, value in fields.items()))


TWINS = {
    "automatic1111 png": (damaged({"parameters": made.a1111(PROMPT)}, "parameters"), "checksum of the PNG chunk"),
    "automatic1111 jpeg": (
        made.jpeg_exif(made.exif({}, {0x9286: made.user_comment(made.a1111(PROMPT))})[:-9]),
        r"EXIF field UserComment reaches to byte .*: it is cut or damaged",
    ),
    "automatic1111 utf-16": (
        made.jpeg_exif(made.exif({}, {0x9286: made.user_comment(made.a1111(PROMPT))[:-1]})),
        "UserComment is no valid UTF-16",
    ),
    "comfyui": (made.png_texts({"prompt": cut(GRAPH)}), r"ComfyUI's prompt is no valid JSON: .* at character"),
    "comfyui drawing": (
        made.png_texts({"workflow": '{"nodes": 3, "links": 4}'}),
        "ComfyUI's workflow has no lists of nodes and links",
    ),
    "comfyui webp": (made.webp(made.exif({0x0110: b"prompt:" + cut(GRAPH).encode()})), "ComfyUI's prompt is no valid"),
    "invokeai 3": (made.png_texts({"invokeai_metadata": cut("{" * 9)}), "invokeai_metadata is no valid JSON"),
    "invokeai 2": (made.png_texts({"sd-metadata": "[1, 2]"}), r"sd-metadata should be a JSON object \(got list\)"),
    "dream": (made.png_texts({"Dream": '"a nurse -s 50'}), "Dream should begin with a prompt in quotes"),
    "midjourney": (damaged(made.midjourney(PROMPT), "Description"), "checksum of the PNG chunk tEXt is wrong"),
    "novelai": (
        made.png_texts(made.novelai(PROMPT) | {"Comment": '{"steps": 28, "sa'}),
        "NovelAI's Comment is no valid JSON",
    ),
    "fooocus": (
        made.png_texts({"parameters": cut(made.fooocus(PROMPT)), "fooocus_scheme": "fooocus"}),
        "Fooocus's parameters is no valid JSON",
    ),
    "swarmui": (comment(cut(made.swarmui(PROMPT))), "SwarmUI's parameters is no valid JSON"),
    "easydiffusion": (damaged(made.easy_diffusion(PROMPT), "prompt"), "checksum of the PNG chunk"),
    "easydiffusion alone": (made.png_texts({"num_inference_steps": "3"}), "settings have no prompt"),
    "generic exif": (made.jpeg_exif(b"II*\0" + struct.pack("<I", 9_000)), "points to byte 9,000 of 8"),
    "generic header": (made.jpeg_exif(b"what is this"), "no TIFF header"),
    "generic xmp": (made.jpeg_xmp(made.xmp(PROMPT)[:-60]), "XMP packet is no valid XML"),
    "generic json": (comment('{"cam": '), "UserComment is no valid JSON"),
}


@pytest.mark.parametrize(("data", "message"), TWINS.values(), ids=TWINS)
def test_a_damaged_twin_gives_its_reason(data: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        read_metadata(data)
    assert "\n" not in str(caught.value)


GRAPHS: dict[str, tuple[Callable[[dict[str, graphs.Entry]], object], str]] = {
    "no sampler": (lambda graph: graph.pop("3"), "of 6 nodes has no sampler"),
    "circle": (
        lambda graph: graph["3"]["inputs"].update(latent_image=["8", 0]),  # type: ignore[attr-defined]
        "feeds its samplers with each other's images",
    ),
    "two prompts": (
        lambda graph: graph.update(
            {
                "13": graphs.node("KSampler", **graph["3"]["inputs"] | {"positive": ["16", 0]}),  # type: ignore[operator]
                "16": graphs.node("CLIPTextEncode", text="other", clip=["4", 1]),
                "19": graphs.node("SaveImage", images=["13", 0]),
            }
        ),
        "makes images of 2 prompts, and does not say which one",
    ),
}


@pytest.mark.parametrize(("change", "message"), GRAPHS.values(), ids=GRAPHS)
def test_graphs_that_do_not_say_one_prompt(change: Callable[[object], object], message: str) -> None:
    graph = graphs.comfy_plain(PROMPT)
    change(graph)
    with pytest.raises(MetadataError, match=message):
        read_metadata(made.png_texts({"prompt": json.dumps(graph)}))


def test_texts_in_a_circle_and_texts_that_double() -> None:
    graph = graphs.comfy_plain("")
    graph["6"] = graphs.node("CLIPTextEncode", text=["30", 0], clip=["4", 1])
    graph["30"] = graphs.node("StringConcatenate", string_a="a", string_b=["30", 0], delimiter="-")
    found = read_metadata(made.png_texts({"prompt": json.dumps(graph)}))
    assert found is not None and found.prompt == "a"
    for step in range(30, 80):
        graph[str(step)] = graphs.node("StringConcatenate", string_a=[str(step + 1), 0], string_b=[str(step + 1), 0])
    graph["80"] = graphs.node("PrimitiveString", value="nurse ")
    with pytest.raises(MetadataError, match="a prompt of more than 1,048,576 characters"):
        read_metadata(made.png_texts({"prompt": json.dumps(graph)}))
    deep = {
        str(step): graphs.node("ConditioningCombine", conditioning_1=[str(step + 1), 0]) for step in range(100, 9000)
    }
    graph["3"]["inputs"] |= {"positive": ["100", 0]}  # type: ignore[operator]
    with pytest.raises(MetadataError, match="nested too deeply"):
        read_metadata(made.png_texts({"prompt": json.dumps(graph | deep)}))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_text_that_unpacks_to_too_much_is_refused_in_little_memory(kind: bytes) -> None:
    worker = zlib.compressobj(9)
    bomb = b"".join(worker.compress(bytes(2**20)) for _ in range(400)) + worker.flush()
    head = b"parameters\0\0" if kind == b"zTXt" else b"parameters\0\1\0\0\0"
    data = made.png(*[made.chunk(kind, head + bomb)] * 30)
    tracemalloc.start()
    begin = time.process_time()
    with pytest.raises(MetadataError, match=r"'parameters' unpacks from [\d,]+ to more than 16,777,216 bytes and is"):
        read_metadata(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20
    assert time.process_time() - begin < 5


def test_what_is_too_long_or_too_much_is_refused() -> None:
    long = made.png(made.text_chunk("parameters", "x" * (chunks.LONGEST_TEXT + 1), "tEXt"))
    with pytest.raises(MetadataError, match=r"PNG chunk tEXt holds 16,777,228 bytes; at most 16,777,216 are read"):
        read_metadata(long)
    many = made.png(*(made.text_chunk(f"k{number}", "x") for number in range(chunks.MOST_TEXTS + 5)))
    with pytest.raises(MetadataError, match="more than 1,000 texts"):
        read_metadata(many)
    flood = made.png(made.chunk(b"junk", b"") * (chunks.MOST_CHUNKS + 5))
    with pytest.raises(MetadataError, match="more than 200,000 chunks"):
        read_metadata(flood)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (made.png(made.chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * 99)[:-8])), "the packed data is cut"),
        (made.png(made.chunk(b"zTXt", b"parameters\0\0nonsense")), "cannot be unpacked: "),
        (made.png(made.chunk(b"zTXt", b"parameters\0\7x")), r"in an unknown way \(method 07\)"),
        (made.png(made.chunk(b"iTXt", b"parameters\0\0\0en")), "ends before its text"),
        (made.png(made.chunk(b"iTXt", b"parameters\0\0\0\0\0\xff")), "no valid UTF-8"),
        (made.png(made.chunk(b"tEXt", b"parameters")), "has no key"),
        (made.png(end=False), "ends at byte .*before its end chunk: it is cut"),
        (made.png()[:-20], "reaches to byte .*: it is cut"),
        (made.jpeg()[:20], r"JPEG (file|segment) .*: it is cut"),
        (made.jpeg()[:2] + b"\xff\xe1\0", "it is cut"),
        (made.jpeg()[:20] + b"nonsense" + made.jpeg()[20:], "where a marker should stand: it is damaged"),
        (made.webp()[:-5], "WebP chunk 'VP8L' reaches to byte"),
        (made.webp(xmp='<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'), "declares a document type or entities"),
        (made.png_texts({"prompt": "{" * 100 + '"class_type"'}), "no valid JSON"),
        (made.png_texts({"invokeai_metadata": "[" * 100_000}), "nested too deeply"),
        (made.png_texts({"invokeai_metadata": '{"seed": ' + "9" * 5000 + "}"}), "JSON that cannot be read"),
    ],
)
def test_every_damage_has_its_reason(data: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        read_metadata(data)
    assert "\n" not in str(caught.value)


def test_a_prompt_beside_damage_is_read_and_the_damage_kept() -> None:
    good, bad = made.text_chunk("parameters", made.a1111(PROMPT)), made.text_chunk("other", "x", damaged=True)
    found = read_metadata(made.png(good, bad, end=False))
    assert found is not None and found.prompt == PROMPT
    assert [str(reason).split(" ")[0:2] for reason in found.details["damaged"]] == [  # type: ignore[attr-defined]
        ["the", "checksum"],
        ["the", "PNG"],
    ]
    named = read_metadata(damaged(made.midjourney(PROMPT), "Description"), f"erika_a_nurse_{made.JOB}.png")
    assert named is not None and named.prompt == "a nurse" and "damaged" in named.details


def test_halves_of_characters_do_not_reach_the_tables() -> None:
    found = read_metadata(
        made.png_texts({"invokeai_metadata": r'{"positive_prompt": "a \ud83d nurse", "x": "\udc00"}'})
    )
    assert found is not None and found.prompt == "a ? nurse" and found.details == {"x": "?"}
    numbers = '{"positive_prompt": "a", "seed": true, "steps": "1_0", "cfg_scale": NaN, "width": 1e999, "x": Infinity}'
    odd = read_metadata(made.png_texts({"invokeai_metadata": numbers}))
    assert odd is not None and (odd.seed, odd.steps, odd.guidance, odd.width, odd.details) == (None,) * 4 + ({},)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="cannot be read: No such file"):
        read_metadata(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(MetadataError, match="is no regular file"):
            read_metadata(path)
    with pytest.raises(MetadataError, match="cannot be read"):
        read_metadata(tmp_path / "a\0b.png")


def test_at_least_200_images_a_second_on_one_core_and_flat_memory(tmp_path: Path) -> None:
    graph = json.dumps(graphs.comfy_many(PROMPT) | {str(n): graphs.node("Note", text="x" * 50) for n in range(99, 199)})
    pixels = made.chunk(b"IDAT", os.urandom(2**15)) * 40  # 1.3 MB in the pieces that Pillow writes
    kinds = [
        made.png_texts({"parameters": made.a1111(PROMPT)}),
        made.png_texts({"prompt": graph, "workflow": graph}, "iTXt-z"),
        made.png_texts(made.midjourney(PROMPT)),
        made.png_texts({"parameters": made.swarmui(PROMPT)}),
    ]
    paths = []
    for number, data in enumerate(kinds * 5):
        path = tmp_path / f"{number}.png"
        path.write_bytes(data[:33] + pixels + data[33:])
        paths.append(path)
    begin = time.process_time()
    for _ in range(10):
        assert all(read_metadata(path) for path in paths)
    assert 10 * len(paths) / (time.process_time() - begin) >= 200
    tracemalloc.start()
    for path in paths:
        read_metadata(path)
    assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    tracemalloc.stop()


SOURCES = [
    made.png_texts({"parameters": made.a1111(PROMPT)}, "iTXt-z"),
    made.png_texts({"prompt": GRAPH, "workflow": GRAPH}),
    made.jpeg_exif(made.exif({0x010E: b"a nurse\0"}, {0x9286: made.user_comment(made.a1111(PROMPT))})),
    made.webp(made.exif({0x0110: b"prompt:" + GRAPH.encode()}), made.xmp(PROMPT)),
    made.png_texts(made.midjourney(PROMPT)),
]


@given(st.sampled_from(SOURCES), st.data())
def test_no_damage_at_all_crashes(source: bytes, data: st.DataObject) -> None:
    broken = bytearray(source)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(broken)))
    try:
        found = read_metadata(bytes(broken[:end]))
    except MetadataError as error:
        found, message = None, str(error)
    else:
        message = ""
    assert "\n" not in message
    assert found is None or json.loads(json.dumps(dict(found.details))) == found.details
