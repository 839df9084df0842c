"""Graphs of ComfyUI: nodes, links between them, and the texts that a link leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from probes.importers.metadata.record import MetadataError, inner, number, text, whole

MOST_NODES = 20_000
"""Nodes of a graph that is still read; large workflows have hundreds."""
LONGEST_PROMPT = 2**20
"""Characters of a prompt put together from nodes; a graph that doubles its text with each node is refused."""
_TEXTS = ("populated_text", "text", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "llama", "prompt", "caption")
_STRINGS = ("value", "string", "String", "STRING", "Text", "wildcard_text", "text_0", "output", "result")
_OTHER_WAYS = re.compile(
    r"clip$|clip_vision|model|vae|image|latent|samples|pixels|mask|control_net|style_model|noise|sigmas|seed", re.I
)
"""Inputs that lead away from the prompt."""
_PART = re.compile(r"(string|text|input|value|s)_?([a-z]|\d+)?", re.I)
"""Inputs of a node that puts texts together."""
_NUMBERS = ("value", "seed", "noise_seed", "int", "float", "number", "INT", "FLOAT", "steps", "cfg", "width", "height")
_NAMES = ("value", "ckpt_name", "unet_name", "sampler_name", "scheduler", "text", "string")
_WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "RandomNoise": ("noise_seed",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KSamplerSelect": ("sampler_name",),
    "CFGGuider": ("cfg",),
    "FluxGuidance": ("guidance",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSDXL": ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name",),
    "LoraLoader": ("lora_name",),
    "LoraLoaderModelOnly": ("lora_name",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "PrimitiveNode": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
}
"""Kinds of nodes → their settings in the order in which a drawing lists them; empty ones are passed over."""
_IDLE = (2, 4)
"""Modes of nodes that do not run: muted and bypassed."""


@dataclass(frozen=True)
class Node:
    """One node of a graph."""

    name: str
    kind: str
    values: Mapping[str, object]
    """Settings typed in, by name."""
    links: Mapping[str, str]
    """Names of the nodes that the other inputs come from, by name of the input."""

    def has(self, *keys: str) -> bool:
        """Whether a node has one of these inputs."""
        return any(key in self.values or key in self.links for key in keys)


class Graph:
    """A graph in the form in which ComfyUI runs it: name of a node → its kind and inputs.

    Raises:
        MetadataError: if no entry is a node, or there are too many.
    """

    def __init__(self, found: Mapping[str, object]) -> None:
        if len(found) > MOST_NODES:
            raise MetadataError(f"ComfyUI's graph has {len(found):,} nodes; at most {MOST_NODES:,} are read.")
        self.nodes = {name: _node(name, inner(entry)) for name, entry in found.items() if "class_type" in inner(entry)}
        if not self.nodes:
            raise MetadataError("ComfyUI's graph has no nodes.")

    def linked(self, node: Node, key: str) -> Node | None:
        """The node that an input comes from; None if there is no such link."""
        return self.nodes.get(node.links.get(key, ""))

    def sources(self, node: Node) -> Iterator[str]:
        """Names of the nodes that a node takes something from."""
        yield from node.links.values()

    def value(self, node: Node, key: str) -> object:
        """A setting, typed in or linked to a node that holds one value; None if it is neither."""
        seen: set[str] = set()
        while key not in node.values:
            below = self.linked(node, key)
            if below is None or below.name in seen:
                return None
            seen.add(below.name)
            keys = [key, *_NUMBERS, *_NAMES]
            node, key = below, next((k for k in keys if k in below.values or k in below.links), "")
        return node.values[key]

    def is_sampler(self, node: Node) -> bool:
        """Whether a node draws: it has a prompt, or a guider that has one, and settings of drawing."""
        if "guider" in node.links:
            return True
        inputs = {*node.values, *node.links}
        drawing = {"seed", "noise_seed", "steps", "sampler_name", "sampler", "sigmas"}
        return "positive" in node.links and bool(drawing & inputs) and bool({"latent_image", "image", "model"} & inputs)

    def reached(self) -> list[Node]:
        """The nodes that an image saved or shown comes from; all nodes where nothing is saved."""
        ends = [node for node in self.nodes.values() if re.match(r"save|preview.?image|image.?save", node.kind, re.I)]
        saving = [node for node in ends if not node.kind.lower().startswith("preview")]
        waiting = [node.name for node in saving or ends or self.nodes.values()]
        seen: dict[str, Node] = {}
        while waiting:
            name = waiting.pop()
            if name in self.nodes and name not in seen:
                seen[name] = self.nodes[name]
                waiting += self.sources(seen[name])
        return list(seen.values())

    def prompts(self, sampler: Node, side: str) -> list[str]:
        """The texts that a sampler is conditioned with, each once, in the order of the inputs."""
        start = self.linked(sampler, "guider") or sampler
        keys = ("positive", "conditioning", "cond1") if side == "positive" else (side,)
        first = next((node for key in keys if (node := self.linked(start, key))), None)
        found = list(_Walk(self, side).conditions(first)) if first else []
        return list(dict.fromkeys(prompt for prompt in found if prompt.strip()))

    def guidance(self, sampler: Node) -> float | None:
        """The distilled guidance of models like Flux, which stands with the prompt."""
        start = self.linked(sampler, "guider") or sampler
        node = self.linked(start, "positive") or self.linked(start, "conditioning")
        for _ in range(len(self.nodes)):
            if node is None:
                return None
            if (found := number(self.value(node, "guidance"))) is not None:
                return found
            node = self.linked(node, "conditioning") or self.linked(node, "positive")
        return None


@dataclass
class _Walk:
    """One search for the texts of a side, `positive` or `negative`."""

    graph: Graph
    side: str
    seen: set[str] = field(default_factory=set)
    """Nodes of conditioning passed already."""
    memory: dict[str, str] = field(default_factory=dict)
    """Texts put together already, by node."""

    def conditions(self, node: Node) -> Iterator[str]:
        """The texts that a node of conditioning encodes, or passes on."""
        if node.name in self.seen or node.kind == "ConditioningZeroOut":
            return
        self.seen.add(node.name)
        if self.side in node.values or self.side in node.links:
            yield from self._passed_on(node)
            return
        keys = [key for key in (*self._own(), *_TEXTS) if key in node.values or key in node.links]
        if keys:
            yield from (self._string(node, key) for key in (keys[:1] if keys[0] in self._own() else keys))
            return
        other = "negative" if self.side == "positive" else "positive"
        for key in node.links:
            below = self.graph.linked(node, key)
            if below is not None and not _OTHER_WAYS.search(key) and other not in key:
                yield from self.conditions(below)

    def _own(self) -> tuple[str, ...]:
        """Inputs of the side in nodes that hold the texts of both."""
        return f"text_{self.side}", f"prompt_{self.side}", f"{self.side}_prompt", self.side

    def _passed_on(self, node: Node) -> Iterator[str]:
        """What a node with both prompts, such as a ControlNet or a loader, passes on for one of them."""
        below = self.graph.linked(node, self.side)
        if below is None or (below.has(*_STRINGS) and "clip" not in below.links):
            yield self._string(node, self.side)
        else:
            yield from self.conditions(below)

    def _string(self, node: Node, key: str) -> str:
        """The text of an input, typed in or put together by other nodes."""
        if key in node.values:
            value = node.values[key]
            return text(value) if isinstance(value, str) else ""
        below = self.graph.linked(node, key)
        if below is None:
            return ""
        if below.name not in self.memory:
            self.memory[below.name] = ""  # a circle ends here
            self.memory[below.name] = self._joined(below)
        return self.memory[below.name]

    def _joined(self, node: Node) -> str:
        inputs = [*node.values, *node.links]
        if re.search(r"concat|join|combine|append", node.kind, re.I):
            between = node.values.get("delimiter", node.values.get("separator", ""))
            keys = sorted(filter(_PART.fullmatch, inputs), key=lambda key: (len(key), key))
            parts = [part for key in keys if (part := self._string(node, key))]
            found = (between if isinstance(between, str) else "").join(parts)
        else:
            candidates = [key for key in (*self._own(), *_TEXTS, *_STRINGS) if key in inputs]
            candidates += [key for key in inputs if not _OTHER_WAYS.search(key)]
            found = self._string(node, candidates[0]) if candidates else ""
        if len(found) > LONGEST_PROMPT:
            raise MetadataError(f"ComfyUI's graph puts a prompt of more than {LONGEST_PROMPT:,} characters together.")
        return found


def _node(name: str, entry: Mapping[str, object]) -> Node:
    values: dict[str, object] = {}
    links: dict[str, str] = {}
    for key, value in inner(entry.get("inputs")).items():
        if (
            isinstance(value, list)
            and len(value) == 2
            and isinstance(value[0], str | int)
            and whole(value[1]) is not None
        ):
            links[key] = str(value[0])
        else:
            values[key] = value
    return Node(name, str(entry["class_type"]), values, links)


def from_drawing(drawing: Mapping[str, object]) -> dict[str, object]:
    """The graph of a drawing (`workflow`), as far as the settings of its nodes are known by their places.

    Raises:
        MetadataError: if it has no nodes or links.
    """
    nodes, links = drawing.get("nodes"), drawing.get("links")
    if not isinstance(nodes, list) or not isinstance(links, list):
        raise MetadataError("ComfyUI's workflow has no lists of nodes and links.")
    sources = {}
    for link in links:
        if isinstance(link, list) and len(link) >= 3:
            sources[str(link[0])] = [str(link[1]), link[2]]
    graph: dict[str, object] = {}
    for entry in map(inner, nodes):
        if "id" not in entry or entry.get("mode") in _IDLE:
            continue
        kind = str(entry.get("type"))
        given = entry.get("widgets_values")
        if isinstance(given, dict):
            inputs = dict(given)
        else:
            known = _WIDGETS.get(kind, ())
            inputs = {
                key: value for key, value in zip(known, given if isinstance(given, list) else [], strict=False) if key
            }
        ends = entry.get("inputs")
        for end in map(inner, ends if isinstance(ends, list) else []):
            if str(end.get("link")) in sources:
                inputs[str(end.get("name"))] = sources[str(end.get("link"))]
        graph[str(entry["id"])] = {"class_type": kind, "inputs": inputs}
    return graph
