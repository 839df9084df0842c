"""The mark of images made by a model: XMP in the WebP container, without touching a pixel.

The fields are those of the IPTC Photo Metadata Standard 2025.1 for media made by AI; the container is Google's
"WebP Container Specification" (RIFF chunks; `VP8X` says which of them there are).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from xml.sax.saxutils import escape

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC digital source type: made by a model that was trained on sampled content."""
DRAWN = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""IPTC digital source type: made purely by an algorithm, without any training data."""

_XMP = 0x04
"""Flag of `VP8X`: there is a chunk `XMP `."""
_ALPHA = 0x10
"""Flag of `VP8X`: some pixels may be transparent."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" \
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
<Iptc4xmpExt:AISystemUsed>{model}</Iptc4xmpExt:AISystemUsed>
<Iptc4xmpExt:AIPromptInformation>{prompt}</Iptc4xmpExt:AIPromptInformation>
<xmp:CreatorTool>{model}</xmp:CreatorTool>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{prompt}</rdf:li></rdf:Alt></dc:description>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def packet(model: str, prompt: str, source: str = TRAINED) -> bytes:
    """The XMP packet of an image that a model made (UTF-8).

    Digital source type, the model as the AI system used and as the software agent, the prompt as the AI prompt
    information and as the description. Characters that XML does not allow are left out.

    Args:
        model: what the model is called.
        prompt: what it was asked.
        source: the IPTC digital source type.
    """
    texts = {"model": model, "prompt": prompt, "source": source}
    return _PACKET.format(**{name: escape(_NOT_XML.sub("", text)) for name, text in texts.items()}).encode()


def with_xmp(data: bytes, xmp: bytes) -> bytes:
    """A WebP file with this XMP packet; all other chunks, the pixels among them, stay as they are byte for byte.

    A packet that was there is replaced. A file of the simple format becomes one of the extended format, as chunks of
    metadata ask for.

    Raises:
        ValueError: if the bytes are no whole WebP file.
    """
    chunks = [(name, body) for name, body in _chunks(data) if name != b"XMP "]
    if not chunks:
        raise ValueError("a WebP file without chunks")
    name, body = chunks[0]
    if name == b"VP8X" and len(body) >= 10:
        chunks[0] = (name, bytes([body[0] | _XMP]) + body[1:])
    else:
        width, height, alpha = _size(name, body)
        flags = _XMP | (_ALPHA if alpha else 0)
        head = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunks.insert(0, (b"VP8X", head))
    whole = b"".join(_chunk(name, body) for name, body in [*chunks, (b"XMP ", xmp)])
    return b"RIFF" + struct.pack("<I", 4 + len(whole)) + b"WEBP" + whole


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP file")
    place, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ValueError("a WebP file that was cut off")
    while place + 8 <= end:
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + size > end:
            raise ValueError("a WebP file with a chunk that was cut off")
        yield data[place : place + 4], data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _size(name: bytes, body: bytes) -> tuple[int, int, bool]:
    """Width, height and whether pixels may be transparent, from the bit stream of a simple WebP file."""
    if name == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    if name == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF, False
    raise ValueError("a WebP file of an unknown kind")
