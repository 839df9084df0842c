"""ComfyUI: the graph that made the image, walked from its first sampler to the texts it was conditioned with.

A graph stands in the PNG text `prompt`, in WebP and JPEG in EXIF after `prompt:`; where only the drawing of the graph
is left (`workflow`), the graph is taken from that.
"""

from __future__ import annotations

from collections.abc import Mapping

from probes.importers.metadata.comfygraph import Graph, Node, from_drawing
from probes.importers.metadata.record import Fields, Metadata, MetadataError, details, mapping, number, text, whole

_PLACES = ("exif:Model", "exif:Make", "exif:ImageDescription", "exif:UserComment", "exif:XPComment")
_CHECKPOINTS = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name", "checkpoint", "gguf_name")
_LATENTS = ("latent_image", "latent", "samples", "image", "pixels", "images", "optional_latent")


def read(fields: Fields) -> Metadata | None:
    """What the graph says; None if there is none.

    Raises:
        MetadataError: if the graph is damaged, has no sampler, or made images of several prompts.
    """
    given = _graph_texts(fields)
    graph = drawing = None
    if "prompt" in given:
        graph = Graph(mapping(given["prompt"], "ComfyUI's prompt"))
    elif "workflow" in given:
        drawing = mapping(given["workflow"], "ComfyUI's workflow")
        graph = Graph(from_drawing(drawing))
    return None if graph is None else _described(graph, drawing is not None)


def _graph_texts(fields: Fields) -> dict[str, str]:
    """The texts of graphs, by `prompt` and `workflow`."""
    found = {}
    for key in ("prompt", "workflow"):
        candidates = [fields.get(key, "")]
        for place in _PLACES:
            start, mark, rest = fields.get(place, "").partition(":")
            if mark and start.strip().lower() == key:
                candidates.append(rest)
        signs = ('"class_type"',) if key == "prompt" else ('"nodes"', '"links"')
        for given in candidates:
            if given.lstrip().startswith("{") and any(sign in given for sign in signs):
                found[key] = given.strip()
    return found


def _described(graph: Graph, drawn: bool) -> Metadata:
    sampler, passes = _first_sampler(graph)
    prompts = graph.prompts(sampler, "positive")
    guider = graph.linked(sampler, "guider") or sampler
    scheduler = graph.linked(sampler, "sigmas") or sampler
    model, loras = _model(graph, guider)
    width, height = _size(graph, sampler)
    flux = graph.guidance(sampler)
    guidance = number(graph.value(guider, "cfg"))
    return Metadata(
        generator="comfyui",
        prompt="\n".join(prompts),
        negative_prompt="\n".join(graph.prompts(sampler, "negative")),
        seed=_seed(graph, sampler),
        sampler=text(graph.value(graph.linked(sampler, "sampler") or sampler, "sampler_name")),
        steps=whole(graph.value(scheduler, "steps")),
        guidance=flux if guidance is None else guidance,
        model=model,
        width=width,
        height=height,
        details=details(
            {
                "prompts": prompts if len(prompts) > 1 else None,
                "scheduler": text(graph.value(scheduler, "scheduler")),
                "loras": loras or None,
                "distilled_guidance": flux if guidance is not None else None,
                "passes": passes if passes > 1 else None,
                "graph_from": "workflow" if drawn else None,
            }
        ),
    )


def _first_sampler(graph: Graph) -> tuple[Node, int]:
    """The sampler that began the image, and how many samplers worked on it one after the other.

    Raises:
        MetadataError: if there is none, or there are several with different prompts.
    """
    samplers = [node for node in graph.reached() if graph.is_sampler(node)]
    if not samplers:
        raise MetadataError(f"ComfyUI's graph of {len(graph.nodes):,} nodes has no sampler with a prompt.")
    above = {node.name: _above(graph, node) for node in samplers}
    first = [node for node in samplers if not above[node.name] & set(above)]
    if len({tuple(graph.prompts(node, "positive")) for node in first}) > 1:
        raise MetadataError(
            f"ComfyUI's graph makes images of {len(first)} prompts, and does not say which one this image is of."
        )
    if not first:
        raise MetadataError("ComfyUI's graph feeds its samplers with each other's images: it is damaged.")
    return first[0], max(len(found & set(above)) for found in above.values()) + 1


def _above(graph: Graph, sampler: Node) -> set[str]:
    """The nodes whose latents or images go into the sampler."""
    seen: set[str] = set()
    waiting = [node for key in _LATENTS if (node := graph.linked(sampler, key))]
    while waiting:
        node = waiting.pop()
        if node.name not in seen:
            seen.add(node.name)
            waiting += [graph.nodes[name] for name in graph.sources(node) if name in graph.nodes]
    return seen


def _seed(graph: Graph, sampler: Node) -> int | None:
    noise = graph.linked(sampler, "noise")
    for node in (sampler, noise) if noise else (sampler,):
        for key in ("seed", "noise_seed"):
            found = whole(graph.value(node, key))
            if found is not None:
                return found
    return None


def _model(graph: Graph, guider: Node) -> tuple[str, list[str]]:
    """The checkpoint that the sampler's model comes from, and the LoRAs put on it, the last one first."""
    loras: list[str] = []
    seen: set[str] = set()
    node = graph.linked(guider, "model") or graph.linked(guider, "basic_pipe") or graph.linked(guider, "pipe")
    while node is not None and node.name not in seen:
        seen.add(node.name)
        loras += [lora] if (lora := text(graph.value(node, "lora_name"))) else []
        found = next((name for key in _CHECKPOINTS if (name := text(graph.value(node, key)))), "")
        if found:
            return found, loras
        sources: Mapping[str, str] = node.links
        name = sources.get("model") or next(iter(sources.values()), "")
        node = graph.nodes.get(name)
    return "", loras


def _size(graph: Graph, sampler: Node) -> tuple[int | None, int | None]:
    for name in [sampler.name, *sorted(_above(graph, sampler))]:
        node = graph.nodes[name]
        width, height = whole(graph.value(node, "width")), whole(graph.value(node, "height"))
        if width and height:
            return width, height
    return None, None
