"""XMP: the description and the few identifiers that generators write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from probes.importers.metadata.record import MetadataError

_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_ITEM = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


@dataclass(frozen=True)
class Xmp:
    """What is read of an XMP packet; empty where it says nothing."""

    description: str = ""
    """`dc:description`, in its default language; otherwise `exif:UserComment`."""
    guid: str = ""
    """`Iptc4xmpExt:DigImageGUID`; Midjourney puts the id of the job there."""
    source_type: str = ""
    """`Iptc4xmpExt:DigitalSourceType`, last part of its address, such as `trainedAlgorithmicMedia`."""
    tool: str = ""
    """`xmp:CreatorTool`, the program."""


def read_xmp(packet: str) -> Xmp:
    """What a packet says. Document types and entities, which XMP does not have, are refused and never expanded.

    Raises:
        MetadataError: if the packet is no valid XML, or declares a document type or entities.
    """
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", packet, re.IGNORECASE):
        raise MetadataError("the XMP packet declares a document type or entities, which XMP does not have.")
    try:
        root = ElementTree.fromstring(packet.strip("\0\ufeff \t\r\n"))
    except ElementTree.ParseError as error:
        raise MetadataError(f"the XMP packet is no valid XML: {error}.") from None
    found: dict[str, str] = {}
    for element in root.iter():
        for key, value in element.attrib.items():
            found.setdefault(_local(key), value)
        name = _local(element.tag) if isinstance(element.tag, str) else ""
        if name in {"description", "UserComment", "DigImageGUID", "DigitalSourceType", "CreatorTool"}:
            found.setdefault(name, _content(element))
    return Xmp(
        description=found.get("description", "") or found.get("UserComment", ""),
        guid=found.get("DigImageGUID", ""),
        source_type=found.get("DigitalSourceType", "").rstrip("/").rsplit("/", 1)[-1],
        tool=found.get("CreatorTool", ""),
    )


def _content(element: ElementTree.Element) -> str:
    items = element.findall(f".//{_ITEM}")
    if not items:
        return (element.text or "").strip()
    best = next((item for item in items if item.get(_LANG) == "x-default"), items[0])
    return best.text or ""


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]
