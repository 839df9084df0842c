"""Graphs of ComfyUI, as it runs them and as it draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from importers.metadata_files import NEGATIVE

Entry = dict[str, object]


def node(kind: str, **inputs: object) -> Entry:
    """A node of a ComfyUI graph."""
    return {"inputs": inputs, "class_type": kind, "_meta": {"title": kind}}


def comfy_plain(prompt: str, negative: str = NEGATIVE) -> dict[str, Entry]:
    """The graph that ComfyUI starts with."""
    return {
        "3": node(
            "KSampler",
            seed=8566257,
            steps=20,
            cfg=8,
            sampler_name="euler",
            scheduler="normal",
            denoise=1,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "4": node("CheckpointLoaderSimple", ckpt_name="v1-5.safetensors"),
        "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "6": node("CLIPTextEncode", text=prompt, clip=["4", 1]),
        "7": node("CLIPTextEncode", text=negative, clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
    }


def comfy_flux(prompt: str) -> dict[str, Entry]:
    """A graph of Flux: custom sampler, guider, guidance within the conditioning, text from a node of its own."""
    return {
        "5": node("EmptySD3LatentImage", width=1024, height=576, batch_size=1),
        "6": node("CLIPTextEncode", text=["30", 0], clip=["11", 0]),
        "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
        "9": node("SaveImage", images=["8", 0]),
        "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "13": node(
            "SamplerCustomAdvanced",
            noise=["25", 0],
            guider=["22", 0],
            sampler=["16", 0],
            sigmas=["17", 0],
            latent_image=["5", 0],
        ),
        "14": node("LoraLoaderModelOnly", lora_name="face.safetensors", strength_model=1, model=["12", 0]),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="simple", steps=24, denoise=1, model=["14", 0]),
        "22": node("BasicGuider", model=["14", 0], conditioning=["26", 0]),
        "25": node("RandomNoise", noise_seed=["31", 0]),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "30": node("PrimitiveStringMultiline", value=prompt),
        "31": node("PrimitiveInt", value=77),
    }


def comfy_many(prompt: str, negative: str = NEGATIVE) -> dict[str, Entry]:
    """A graph of several nodes: SDXL's two texts, a ControlNet, texts put together, a second pass, a preview."""
    graph = comfy_plain("", "")
    head, tail = prompt[: len(prompt) // 2], prompt[len(prompt) // 2 :]
    graph["3"]["inputs"] |= {"positive": ["20", 0], "negative": ["20", 1]}  # type: ignore[operator]
    graph["8"]["inputs"] |= {"samples": ["40", 0]}  # type: ignore[operator]
    return graph | {
        "6": node("CLIPTextEncodeSDXL", width=1, height=1, text_g=["30", 0], text_l=["30", 0], clip=["4", 1]),
        "7": node("CLIPTextEncode", text=["33", 1], clip=["4", 1]),
        "20": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1, image=["21", 0]),
        "21": node("LoadImage", image="pose.png"),
        "30": node("StringConcatenate", string_a=head, string_b=["31", 0], delimiter=""),
        "31": node("Reroute", **{"": ["32", 0]}),
        "32": node("ShowText|pysssss", text=["34", 0], text_0="an old text"),
        "33": node("SDXLPromptStyler", text_positive="other", text_negative=negative),
        "34": node("String Literal", string=tail),
        "40": node(
            "KSampler",
            seed=1,
            steps=5,
            cfg=1,
            sampler_name="ddim",
            scheduler="normal",
            denoise=0.4,
            model=["4", 0],
            positive=["41", 0],
            negative=["7", 0],
            latent_image=["3", 0],
        ),
        "41": node("CLIPTextEncode", text="sharpen", clip=["4", 1]),
        "50": node("CLIPTextEncode", text="used by nobody", clip=["4", 1]),
        "51": node("PreviewImage", images=["8", 0]),
    }


_TYPES = {
    **dict.fromkeys(("positive", "negative", "conditioning"), "CONDITIONING"),
    **dict.fromkeys(("samples", "latent_image"), "LATENT"),
    **{"model": "MODEL", "clip": "CLIP", "vae": "VAE", "images": "IMAGE"},
}
"""Inputs → types of their links."""


def drawing(graph: Mapping[str, Entry], widgets: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """The drawing (`workflow`) of a graph: settings as lists, links by number."""
    links: list[list[object]] = []
    nodes = []
    for name, entry in graph.items():
        inputs = entry["inputs"]
        assert isinstance(inputs, dict)
        ends = []
        for key, value in inputs.items():
            if isinstance(value, list):
                kind_of = _TYPES.get(key, "STRING")
                links.append([len(links) + 1, int(value[0]), value[1], int(name), len(ends), kind_of])
                ends.append({"name": key, "type": kind_of, "link": len(links)})
        kind = str(entry["class_type"])
        given = ["randomize" if key == "" else inputs.get(key) for key in widgets.get(kind, ())]
        nodes.append({"id": int(name), "type": kind, "mode": 0, "inputs": ends, "widgets_values": given})
    return {"last_node_id": 9, "nodes": nodes, "links": links, "version": 0.4}
