"""Images with the metadata of many programs, written byte for byte as the programs lay them out."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping

from PIL import Image

PROMPTS = {
    "plain": "a photo of a nurse",
    "quotes": 'a nurse who says "Steps: 20, Sampler: x", it\'s 5:30; C:\\new\\table',
    "newlines": "a nurse,\nat work\n\n  in the rain",
    "steps": "Steps: 3 up the ladder stands a nurse\nSteps: 20, Sampler: Euler, Seed: 1, CFG scale: 7\nand rests",
    "lora": "<lora:doctor_style:0.8> (nurse:1.3), {old|young}, __colour__ BREAK portrait",
    "braces": '{"old"|young} nurse {in|at} work',
    "emoji": "a nurse 👩‍⚕️ smiling ☀️",
    "chinese": "一位护士的照片，微笑：自然光",
    "latin1": "une infirmière à l'hôpital, Ärztin, naïve ½",
}
"""Prompts that readers get wrong."""
NEGATIVE = 'blurry, "bad: hands", 低质量'
JOB = "1a2b3c4d-0000-4abc-8def-0123456789ab"
AUTHOR = "Erika Mustermann"
"""Name of an author, which no reader may pass on."""


def chunk(kind: bytes, data: bytes, *, damaged: bool = False) -> bytes:
    """A PNG chunk; a damaged one has another bit than its checksum says."""
    check = zlib.crc32(kind + data)
    if damaged:
        data = data[:-1] + bytes([data[-1] ^ 1])
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def text_chunk(key: str, value: str, form: str = "auto", *, damaged: bool = False) -> bytes:
    """A PNG text: `tEXt` (Latin-1), `tEXt-utf8` (as many write it), `zTXt`, `iTXt`, `iTXt-z`, or as Pillow chooses."""
    if form == "auto":
        form = "tEXt" if all(ord(letter) < 256 for letter in value) else "iTXt"
    name = key.encode("latin-1") + b"\0"
    if form in {"tEXt", "tEXt-utf8"}:
        return chunk(b"tEXt", name + value.encode("latin-1" if form == "tEXt" else "utf-8"), damaged=damaged)
    if form == "zTXt":
        return chunk(b"zTXt", name + b"\0" + zlib.compress(value.encode("latin-1")), damaged=damaged)
    data = value.encode("utf-8")
    packed = form == "iTXt-z"
    head = name + bytes([packed, 0]) + b"en\0" + key.encode() + b"\0"
    return chunk(b"iTXt", head + (zlib.compress(data) if packed else data), damaged=damaged)


def png(*chunks: bytes, before: bool = True, size: tuple[int, int] = (3, 2), end: bool = True) -> bytes:
    """A PNG of one colour with further chunks before or after its pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + bytes(3 * size[0])) * size[1]))
    middle = [*chunks, pixels] if before else [pixels, *chunks]
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(middle) + (chunk(b"IEND", b"") if end else b"")


def png_texts(fields: Mapping[str, str], form: str = "auto") -> bytes:
    """A PNG with one text a field."""
    return png(*(text_chunk(key, value, form) for key, value in fields.items()))


def exif(main: Mapping[int, bytes], below: Mapping[int, bytes] | None = None, order: str = "<") -> bytes:
    """A TIFF structure: tags of the main directory and of the one below it; user comments UNDEFINED, others ASCII."""
    below = below or {}
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    first_length = 2 + 12 * (len(main) + bool(below)) + 4
    second_length = (2 + 12 * len(below) + 4) if below else 0
    place = 8 + first_length + second_length
    store = b""
    out = []
    directories: list[Mapping[int, bytes]] = [main, below] if below else [main]
    for directory in directories:
        entries = []
        for tag, data in directory.items():
            kind = 7 if tag in {0x9286, 0x927C} else 2
            held = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", place + len(store))
            store += data if len(data) > 4 else b""
            entries.append((tag, struct.pack(order + "HHI", tag, kind, len(data)) + held))
        if directory is main and below:
            entries.append((0x8769, struct.pack(order + "HHII", 0x8769, 4, 1, 8 + first_length)))
        body = b"".join(entry for _, entry in sorted(entries))
        out.append(struct.pack(order + "H", len(entries)) + body + bytes(4))
    return head + b"".join(out) + store


def user_comment(value: str, form: str = "UTF-16-BE") -> bytes:
    """A user comment as piexif writes it (UTF-16, big-endian), or in another form."""
    if form == "ASCII":
        return b"ASCII\0\0\0" + value.encode("utf-8")
    if form == "bare":
        return value.encode("utf-8")
    return b"UNICODE\0" + value.encode(form.lower())


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with application segments behind its first two bytes."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(made, "JPEG")
    marks = (b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment for segment in segments)
    return made.getvalue()[:2] + b"".join(marks) + made.getvalue()[2:]


def jpeg_exif(data: bytes) -> bytes:
    """A JPEG with EXIF data."""
    return jpeg(b"Exif\0\0" + data)


def jpeg_xmp(packet: str) -> bytes:
    """A JPEG with an XMP packet."""
    return jpeg(b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())


def webp(exif_data: bytes = b"", xmp: str = "") -> bytes:
    """An extended WebP: VP8X, the pixels, then EXIF and XMP."""
    made = io.BytesIO()
    Image.new("RGB", (8, 8), "grey").save(made, "WEBP", lossless=True)
    flags = (8 if exif_data else 0) | (4 if xmp else 0)
    size = struct.pack("<I", 7)[:3]
    parts = [(b"VP8X", struct.pack("<I", flags) + size + size), (b"VP8L", made.getvalue()[20:])]
    parts += [(b"EXIF", exif_data)] if exif_data else []
    parts += [(b"XMP ", xmp.encode())] if xmp else []
    body = b"WEBP"
    for kind, data in parts:
        if kind == b"VP8L":
            data = data[: struct.unpack("<I", made.getvalue()[16:20])[0]]
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def xmp(description: str = "", attributes: Mapping[str, str] | None = None) -> str:
    """An XMP packet with a description in two languages, attributes of the IPTC extension, and an author."""
    escaped = description.replace("&", "&amp;").replace("<", "&lt;")
    given = "".join(f' Iptc4xmpExt:{key}="{value}"' for key, value in (attributes or {}).items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{given}>'
        f"<dc:creator><rdf:Seq><rdf:li>{AUTHOR}</rdf:li></rdf:Seq></dc:creator>"
        + (
            '<dc:description><rdf:Alt><rdf:li xml:lang="de">anders</rdf:li>'
            f'<rdf:li xml:lang="x-default">{escaped}</rdf:li></rdf:Alt></dc:description>'
            if description
            else ""
        )
        + '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def a1111(prompt: str, negative: str = NEGATIVE) -> str:
    """Parameters as Automatic1111 writes them: values with commas, colons or newlines in JSON's quotes."""
    line = (
        "Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 1234567890, Size: 512x768, Model hash: 6ce0161689,"
        ' Model: v1-5-pruned, Denoising strength: 0.7, Lora hashes: "style: ab12, other: cd34",'
        f' ControlNet 0: "module: none, model: x\\ny", User: {AUTHOR}, Version: v1.6.0'
    )
    return f"{prompt}\nNegative prompt: {negative}\n{line}" if negative else f"{prompt}\n{line}"


def invoke_third(prompt: str) -> dict[str, str]:
    """InvokeAI 3 and later."""
    found = {
        "generation_mode": "txt2img",
        "positive_prompt": prompt,
        "negative_prompt": NEGATIVE,
        "width": 512,
        "height": 768,
        "seed": 99,
        "cfg_scale": 7.5,
        "steps": 30,
        "scheduler": "euler_a",
        "model": {
            "model_name": "stable-diffusion-v1-5",
            "base_model": "sd-1",
            "model_type": "main",
            "hash": "blake3:ab",
        },
        "loras": [],
        "controlnets": [],
        "created_by": AUTHOR,
        "app_version": "3.4.0",
    }
    return {"invokeai_metadata": json.dumps(found), "invokeai_graph": json.dumps({"nodes": {}})}


def invoke_second(prompt: str) -> dict[str, str]:
    """InvokeAI 2, which writes both forms."""
    found = {
        "model": "stable diffusion",
        "model_weights": "stable-diffusion-1.5",
        "model_hash": "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516",
        "app_id": "invoke-ai/InvokeAI",
        "app_version": "2.2.4",
        "image": {
            "prompt": [{"prompt": f"{prompt} [blurry]", "weight": 1.0}],
            "steps": 50,
            "cfg_scale": 7.5,
            "threshold": 0,
            "height": 512,
            "width": 640,
            "seed": 7,
            "type": "txt2img",
            "sampler": "k_lms",
            "variations": [],
        },
    }
    return {"Dream": dream(prompt), "sd-metadata": json.dumps(found)}


def dream(prompt: str) -> str:
    """InvokeAI's first form: a command."""
    return f'"{prompt} [blurry]" -s 50 -S 7 -W 640 -H 512 -C 7.5 -A k_lms --seamless'


def midjourney(prompt: str) -> dict[str, str]:
    """A picture saved from Midjourney's pages."""
    return {
        "Description": f"{prompt} --ar 16:9 --stylize 250 --no blur, noise --seed 42 --v 6.1 Job ID: {JOB}",
        "Author": AUTHOR,
        "Creation Time": "Sat, 01 Jun 2024 10:00:00 GMT",
        "XML:com.adobe.xmp": xmp("", {"DigImageGUID": JOB, "DigitalSourceType": "http://x/trainedAlgorithmicMedia"}),
    }


def novelai(prompt: str, *, fourth: bool = False) -> dict[str, str]:
    """NovelAI; before its third version the comment holds no prompt."""
    comment: dict[str, object] = {"steps": 28, "sampler": "k_euler", "seed": 3, "strength": 0.69, "scale": 11.0}
    comment |= {"height": 1216, "width": 832, "uc": NEGATIVE}
    if fourth:
        people = [{"char_caption": "girl, nurse", "centers": [{"x": 0.5, "y": 0.5}]}]
        comment["prompt"] = "cut"
        comment["v4_prompt"] = {"caption": {"base_caption": prompt, "char_captions": people}, "use_coords": False}
        comment["v4_negative_prompt"] = {"caption": {"base_caption": NEGATIVE, "char_captions": []}}
        comment["signed_hash"] = "x" * 88
    return {
        "Title": "NovelAI generated image",
        "Description": prompt,
        "Software": "NovelAI",
        "Source": "Stable Diffusion XL C1E1DE52",
        "Comment": json.dumps(comment),
    }


def fooocus(prompt: str) -> str:
    """Fooocus's own form."""
    found = {
        "adm_guidance": "(1.5, 0.8, 0.3)",
        "base_model": "juggernautXL_v8",
        "base_model_hash": "aeb7e9e689",
        "clip_skip": 2,
        "created_by": AUTHOR,
        "full_prompt": [f"cinematic still {prompt}"],
        "full_negative_prompt": [NEGATIVE],
        "guidance_scale": 4,
        "loras": [["offset.safetensors", 0.1, "4852686128"]],
        "metadata_scheme": "fooocus",
        "negative_prompt": NEGATIVE,
        "performance": "Speed",
        "prompt": prompt,
        "resolution": "(1152, 896)",
        "sampler": "dpmpp_2m_sde_gpu",
        "scheduler": "karras",
        "seed": "18446744073709551615",
        "steps": 30,
        "styles": "['Fooocus V2']",
        "version": "Fooocus v2.2.0",
    }
    return json.dumps(found)


def swarmui(prompt: str) -> str:
    """SwarmUI."""
    found = {
        "sui_image_params": {
            "prompt": prompt,
            "negativeprompt": NEGATIVE,
            "model": "OfficialStableDiffusion/sd_xl_base_1.0",
            "seed": 11,
            "steps": 20,
            "cfgscale": 7.0,
            "aspectratio": "4:3",
            "width": 1152,
            "height": 896,
            "sampler": "dpmpp_2m",
            "swarm_version": "0.9.2.0",
            "personalnote": AUTHOR,
        },
        "sui_extra_data": {"date": "2024-07-01", "generation_time": "1.1 sec"},
        "sui_models": [
            {"name": "l.safetensors", "param": "loras", "hash": "0x01"},
            {"name": "sd_xl_base_1.0.safetensors", "param": "model", "hash": "0xd7a9"},
        ],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def easy_diffusion(prompt: str, *, shown: bool = False) -> dict[str, str]:
    """Easy Diffusion, with its own names of the settings or those people read."""
    names = ("prompt", "seed", "negative_prompt", "num_inference_steps", "guidance_scale", "width", "height")
    if shown:
        names = ("Prompt", "Seed", "Negative Prompt", "Steps", "Guidance Scale", "Width", "Height")
    values = (prompt, "12", NEGATIVE, "25", "7.5", "512", "768")
    found = dict(zip(names, values, strict=True))
    found["Sampler" if shown else "sampler_name"] = "euler_a"
    found["Stable Diffusion model" if shown else "use_stable_diffusion_model"] = "models/sd-v1-4"
    return found | {"VAE model" if shown else "use_vae_model": "None"}
