"""Content Credentials: read and checked without a network, on a published original and on files signed here."""

from __future__ import annotations

import io
import random
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import c2pa
import pytest
from credentials import MADE, PERSON, TYPE, Signer, drawn, signed, signer
from PIL import Image

from probes.importers.provenance import NEEDED, STATES, Provenance, _said, has_provenance, read_provenance

OPENED = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["first"]}}
KINDS = ("png", "jpeg", "webp")


@pytest.fixture(scope="module")
def maker() -> Signer:
    return signer()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server that notes what it is asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", asked
        made.shutdown()
        thread.join()


def said(data: bytes, anchors: str = "") -> Provenance:
    found = read_provenance(data, anchors)
    assert found is not None
    assert found.signature in STATES
    return found


@pytest.fixture(scope="module")
def original(shared_data: Path) -> bytes:
    path = shared_data / "images" / "dall_e_3" / "ceo_baseline_s0.c2pa.png"
    if not path.is_file():
        pytest.skip("no original of DALL·E 3 with Content Credentials in shared/data")
    return path.read_bytes()


def test_an_original_of_dall_e_3(original: bytes) -> None:
    found = said(original)
    assert found.entry() == {
        "signature": "untrusted",
        "reason": "signingCredential.untrusted, signingCredential.expired",
        "claim_generator": "OpenAI-API",
        "software_agent": "DALL·E",
        "source_type": "trainedAlgorithmicMedia",
        "issuer": "OpenAI",
        "algorithm": "Es256",
        "time": "2025-08-16T17:39:52+00:00",
    }


def test_the_original_with_one_byte_of_its_pixels_changed(original: bytes) -> None:
    changed = bytearray(original)
    changed[original.index(b"IDAT") + 1000] ^= 1
    found = said(bytes(changed))
    assert found.signature == "broken"
    assert "assertion.dataHash.mismatch" in found.reason
    assert found.issuer == "OpenAI"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_signed_here_holds_and_is_trusted_by_those_who_say_so(maker: Signer, kind: str) -> None:
    data = signed(maker, kind)
    expected = Provenance(
        "untrusted", "signingCredential.untrusted", "Test Maker", "Paint 3", "trainedAlgorithmicMedia",
        "Rolecall Tests", "Es256",
    )  # fmt: skip
    assert said(data) == expected
    trusted = said(data, maker.root)
    assert (trusted.signature, trusted.reason) == ("valid", "")
    assert said(data, signer().root).signature == "untrusted"


@pytest.mark.parametrize("kind", KINDS)
def test_changed_pixels_break_it(maker: Signer, kind: str) -> None:
    data = bytearray(signed(maker, kind, data=drawn(kind, "blue")))
    data[data.rindex({"png": b"IDAT", "jpeg": b"\xff\xda", "webp": b"VP8 "}[kind]) + 30] ^= 1
    found = said(bytes(data), maker.root)
    assert found.signature == "broken"
    assert "dataHash.mismatch" in found.reason


def test_a_manifest_moved_to_another_picture_is_broken(maker: Signer) -> None:
    data = signed(maker)
    start = data.index(b"caBX") - 4
    block = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    other = drawn(colour="green")
    moved = other[:33] + block + other[33:]
    assert said(moved, maker.root).signature == "broken"


def test_no_name_of_a_person_is_kept(maker: Signer) -> None:
    data = signed(maker)
    with c2pa.Reader("image/png", io.BytesIO(data), context=c2pa.Context()) as reader:
        assert reader.json().count(PERSON) == 3  # title, author, certificate
    assert PERSON not in str(said(data).entry())


def test_files_without_a_manifest_say_nothing(maker: Signer) -> None:
    for kind in KINDS:
        assert not has_provenance(drawn(kind))
        assert read_provenance(drawn(kind)) is None
        assert has_provenance(signed(maker, kind))
    assert read_provenance(b"") is None


def test_older_and_sparse_manifests(maker: Signer) -> None:
    actions = [
        {"action": "c2pa.created", "digitalSourceType": f"{TYPE}digitalCapture"},
        {"action": "c2pa.edited", "softwareAgent": {"name": "Brush", "version": "2"}},
    ]
    named = signed(
        maker,
        claim_generator_info=[{"name": " A\n  maker "}],
        assertions=[{"label": "c2pa.actions", "data": {"actions": actions}}],
    )
    found = said(named)
    assert (found.claim_generator, found.software_agent, found.source_type) == ("A maker", "Brush", "digitalCapture")
    old = signed(maker, claim_version=1, claim_generator_info=[{"name": "Old_Maker", "version": "0.9"}])
    assert said(old).claim_generator == "Old_Maker"


@pytest.mark.parametrize("entry", [{}, {"claim_generator_info": None}, {"claim_generator_info": [{"version": "1"}]}])
def test_claims_from_before_the_generator_had_an_entry_of_its_own(entry: dict[str, object]) -> None:
    report = {
        "active_manifest": "urn:uuid:1",
        "manifests": {"urn:uuid:1": {"claim_generator": "OpenAI-API c2pa-rs/0.28.4", "assertions": [], **entry}},
        "validation_results": {"activeManifest": {"success": [{"code": "claimSignature.validated"}]}},
        "validation_state": "Valid",
    }  # the library writes none today: the layout is that of its reports on old files
    assert _said(report) == Provenance("untrusted", claim_generator="OpenAI-API")


def test_what_the_picture_was_made_from_is_asked_where_the_file_does_not_say_how_it_was_made(maker: Signer) -> None:
    first = signed(maker)
    given = {
        "claim_generator_info": [{"name": "Converter"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [OPENED]}}],
    }
    file = io.BytesIO()
    builder = c2pa.Builder(given, c2pa.Context())
    builder.add_ingredient(
        {"title": "first.png", "relationship": "parentOf", "label": "first"}, "image/png", io.BytesIO(first)
    )
    with c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", maker.chain, maker.key, None)) as key:
        builder.sign(key, "image/png", io.BytesIO(drawn()), file)
    found = said(file.getvalue())
    assert (found.claim_generator, found.software_agent) == ("Converter", "Paint 3")
    assert found.source_type == MADE["digitalSourceType"].removeprefix(TYPE)


def test_nobody_is_asked(server: tuple[str, list[str]]) -> None:
    address, asked = server
    data = signed(signer(f"{address}/status"))
    context = c2pa.Context(c2pa.Settings.from_dict({"verify": {"ocsp_fetch": True}}))
    with c2pa.Reader("image/png", io.BytesIO(data), context=context) as reader:
        assert reader.json()
    assert len(asked) == 1  # the certificate does lead there
    assert said(data).signature == "untrusted"
    elsewhere = signed(signer(), remote=f"{address}/manifest")
    assert read_provenance(elsewhere) is None
    with_both = elsewhere[:33] + _chunk(b"tEXt", b"c2pa\0" + data[data.index(b"jumd") :][:60]) + elsewhere[33:]
    assert has_provenance(with_both)
    assert said(with_both).signature == "unreadable"
    assert len(asked) == 1


def test_without_the_extra_a_manifest_is_named(maker: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert said(signed_before(maker)).entry() == {"signature": "unchecked", "reason": NEEDED}
    assert read_provenance(drawn()) is None


def signed_before(maker: Signer) -> bytes:
    """A signed file, made although `c2pa` is hidden."""
    hidden = sys.modules.pop("c2pa")
    sys.modules["c2pa"] = c2pa
    data = signed(maker)
    sys.modules["c2pa"] = hidden
    return data


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_said_and_never_raised(maker: Signer, kind: str) -> None:
    data = signed(maker, kind)
    rng = random.Random(7)
    states: Counter[str] = Counter()
    for number in range(150):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 4, 64))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if number % 3 == 0:
            del damaged[rng.randrange(100, len(damaged)) :]
        found = read_provenance(bytes(damaged), maker.root)
        if found is not None:
            states[found.signature] += 1
            assert "\n" not in found.reason
            assert (found.reason == "") == (found.signature == "valid")
    assert states["unreadable"] > 10
    assert states["broken"] > 10


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def test_the_chunk_made_here_is_one() -> None:
    file = drawn()
    text = file[:33] + _chunk(b"tEXt", b"key\0value") + file[33:]
    assert Image.open(io.BytesIO(text)).info == {"key": "value"}
