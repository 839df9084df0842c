"""What an image's Content Credentials (C2PA) say of its origin, and whether their signature holds.

They are read with `c2pa-python` (extra `[provenance]`), without any network. Of a manifest only what names programs
and the signer is kept: titles, ingredients' names and assertions about people (authors) are not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STATES = ("valid", "untrusted", "broken", "unreadable", "unchecked")
"""What `Provenance.signature` can be."""
NEEDED = "present, not checked: pip install 'rolecall[provenance]'"
_MARK = b"c2pa" + bytes.fromhex("00110010800000aa00389b71")
"""JUMBF type of the box that holds all manifests (C2PA specification, "manifest store"): it stands in one piece in
every file that has one, whatever the file's format."""
_TRUST = ("signingCredential.", "timeStamp.", "claimSignature.outsideValidity")
"""Beginnings of the codes of failures that concern who signed and when, not what was signed."""
_LONGEST = 200
_DEEPEST = 8
"""Manifests of ingredients that are asked when the outer one does not say how the image came to be."""


@dataclass(frozen=True)
class Provenance:
    """What a manifest says; what it does not say is empty."""

    signature: str
    """`valid`: content and signature hold, and the certificate is trusted. `untrusted`: they hold, but the certificate
    is on no trust list, expired or revoked. `broken`: the content was changed, or the signature is wrong, or the
    manifest contradicts the specification. `unreadable`: there is a manifest that cannot be read. `unchecked`: there is
    one, and `c2pa-python` is not installed."""
    reason: str = ""
    """Why the signature is not `valid`: codes of the specification (`signingCredential.untrusted`), or a sentence."""
    claim_generator: str = ""
    """Program that made the claim, without its version, such as `OpenAI-API`."""
    software_agent: str = ""
    """Program that made the image, such as `DALL·E`."""
    source_type: str = ""
    """IPTC digital source type, such as `trainedAlgorithmicMedia`."""
    issuer: str = ""
    """Organisation in the signer's certificate; anybody can write anything there unless the signature is `valid`."""
    algorithm: str = ""
    """Of the signature, such as `Es256`."""
    time: str = ""
    """When it was signed, by its time stamp; ISO 8601."""

    def entry(self) -> dict[str, str]:
        """What is said, by name, as it is kept with an image."""
        return {name: value for name, value in vars(self).items() if value}


def has_provenance(data: bytes) -> bool:
    """Whether an image file holds a manifest; so fast that every image can be asked."""
    return _MARK in data


def read_provenance(data: bytes, anchors: str = "") -> Provenance | None:
    """What the manifest in an image file says; None if there is none. Nothing is raised, whatever the file holds.

    Args:
        data: the whole file, of any format that C2PA knows.
        anchors: certificates (PEM) of those whose signatures are trusted. Without any, no signature is `valid`.
    """
    if not has_provenance(data):
        return None
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError):  # the last two: its native library does not fit this machine
        return Provenance("unchecked", NEEDED)
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "core": {"allowed_network_hosts": []},
    }
    if anchors:
        settings["trust"] = {"trust_anchors": anchors}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        with context, io.BytesIO(data) as file, c2pa.Reader(None, file, context=context) as reader:
            report = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, ValueError) as error:
        return Provenance("unreadable", _text(str(error)) or "the manifest is damaged")
    return _said(report)


def _said(report: Mapping[str, Any]) -> Provenance:
    signature, reason = _checked(report)
    chain = list(_chain(report))
    first = chain[0] if chain else {}
    signed = first.get("signature_info") or {}
    actions = [action for manifest in chain for action in _actions(manifest)]
    agents = [_agent(action) for action in actions]
    types = [_text(action.get("digitalSourceType")).rpartition("/")[2] for action in actions]
    return Provenance(
        signature,
        reason,
        claim_generator=_generator(first),
        software_agent=next(filter(None, agents), ""),
        source_type=next(filter(None, types), ""),
        issuer=_text(signed.get("issuer")),
        algorithm=_text(signed.get("alg")),
        time=_text(signed.get("time")),
    )


def _checked(report: Mapping[str, Any]) -> tuple[str, str]:
    """State of the signature, and the codes of all that failed, in the order in which it was checked."""
    results = report.get("validation_results") or {}
    active = results.get("activeManifest") or {}
    below = [each.get("validationDeltas") or {} for each in results.get("ingredientDeltas") or ()]
    failed = dict.fromkeys(_text(each.get("code")) for part in (active, *below) for each in part.get("failure") or ())
    reason = ", ".join(failed)[:_LONGEST]
    validated = {each.get("code") for each in active.get("success") or ()}
    if any(not code.startswith(_TRUST) for code in failed):
        return "broken", reason
    if "claimSignature.validated" not in validated:
        return "broken", reason or "the signature could not be checked"
    return ("valid", "") if report.get("validation_state") == "Trusted" and not failed else ("untrusted", reason)


def _chain(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The active manifest, then those of its ingredients, outermost first."""
    manifests = report.get("manifests") or {}
    labels = [report.get("active_manifest")]
    for label in labels:
        manifest = manifests.get(label)
        if manifest is not None:
            yield manifest
            below = [each.get("active_manifest") for each in manifest.get("ingredients") or ()]
            labels += [each for each in below if each not in labels][: _DEEPEST - len(labels)]


def _actions(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for assertion in manifest.get("assertions") or ():
        if str(assertion.get("label", "")).startswith("c2pa.actions") and isinstance(assertion.get("data"), dict):
            found += [action for action in assertion["data"].get("actions") or () if isinstance(action, dict)]
    return found


def _agent(action: Mapping[str, Any]) -> str:
    agent = action.get("softwareAgent")
    return _text(agent.get("name") if isinstance(agent, dict) else agent)


def _generator(manifest: Mapping[str, Any]) -> str:
    """Name of the claim generator: of its own entry, or the first word of the older `name/version name/version`."""
    for entry in manifest.get("claim_generator_info") or ():
        if name := _text(entry.get("name")):
            return name
    words = _text(manifest.get("claim_generator")).split()
    return words[0].partition("/")[0] if words else ""


def _text(value: object) -> str:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""
