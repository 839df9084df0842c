"""One request to an images API: what it came to, in the few words that a run needs."""

from __future__ import annotations

import base64
import io
import json
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from PIL import Image, ImageOps

from probes.generators.base import GeneratorError
from probes.generators.retries import retry_after

Kind = Literal["refused", "again", "never", "stop"]
"""`refused`: moderation said no; `again`: worth another try; `never`: this prompt cannot be asked; `stop`: no image of
the run can be made as it is configured."""

_MODERATION = ("moderation_blocked", "content_policy_violation", "content_filter", "contentfilter", "content_blocked")
_POLICY = ("safety system", "content policy", "content management policy", "content filter", "responsibleaipolicy")
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated")
_LONG = ("string_above_max_length", "context_length_exceeded", "prompt_too_long")
_KEY = re.compile(r"\bsk-[\w*.…-]{6,}")
_SHORTEST_KEY = 8
_AGAIN = (408, 409, 425, 429)
_WORDS = 300


@dataclass(eq=False)
class AskError(Exception):
    """A request without an answer that could be used."""

    kind: Kind
    reason: str
    """One line, without the key."""
    wait: float | None = None
    """Seconds that the service asks to wait."""
    limited: bool = False
    """True if the service asks all requests to wait, not this one alone."""
    unheard: bool = False
    """True if no answer came, so that the service may have made the images all the same."""
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """One image of an answer."""

    image: Image.Image | None
    """8-bit RGB, transparency on white; None if it is broken or was refused."""
    reason: str = ""
    refused: bool = False
    details: Mapping[str, object] = field(default_factory=dict)


class ImagesClient:
    """An images API (`POST {base_url}/images/generations`) that answers in base64.

    The key lives in the client of the service alone: it is in no attribute, message or result of this class.
    """

    def __init__(self, model: str, base_url: str, key: str, arguments: Mapping[str, Any], timeout: float) -> None:
        openai = _package(model)
        self._model, self._arguments, self._timeout = model, dict(arguments), timeout
        self._errors = (openai.APITimeoutError, openai.APIConnectionError, openai.APIStatusError)
        self._client: Any = openai.OpenAI(api_key=key, base_url=base_url, max_retries=0, timeout=timeout)
        weakref.finalize(self, self._client.close)

    def ask(self, prompt: str, number: int, identity: str) -> list[Picture]:
        """Ask once for `number` images; at most so many come back, fewer if the service gave fewer.

        `identity` names the request, so that a service that knows `Idempotency-Key` does not bill a repeated one twice.

        Raises:
            AskError: if there is no answer, or one that holds no images.
        """
        late, cut, status = self._errors
        trouble: AskError
        try:
            raw = self._client.images.with_raw_response.generate(
                model=self._model,
                prompt=prompt,
                n=number,
                extra_body=self._arguments,
                extra_headers={"Idempotency-Key": identity},
            )
            return self._pictures(raw.http_response, number)
        except late:
            trouble = AskError("again", f"no answer within {self._timeout:g} s", unheard=True)
        except cut as error:
            cause = error.__cause__ or error
            said = str(cause) or type(cause).__name__
            reason = self._clean(f"the connection failed ({type(cause).__name__}: {said})")
            trouble = AskError("again", reason, unheard=True)
        except status as error:
            body = error.body if isinstance(error.body, Mapping) else {"message": error.message}
            trouble = self._judged(error.status_code, body, error.response.headers)
        raise trouble  # outside the handlers: no chain to an error that knows the request

    def _pictures(self, response: Any, number: int) -> list[Picture]:
        details = self._known({"request_id": response.headers.get("x-request-id")})
        try:
            body = json.loads(response.text)
        except ValueError:
            body = None
        if not isinstance(body, Mapping):
            raise AskError("again", "the answer is not JSON", details=details)
        if isinstance(body.get("error"), Mapping):
            raise self._judged(response.status_code, body["error"], response.headers)
        data = body.get("data")
        if not isinstance(data, list) or not data:
            raise AskError("again", "the answer holds no images", details=details)
        returned = self._known({key: body.get(key) for key in ("size", "quality", "background", "output_format")})
        details |= self._known(
            {
                "created": _time(body.get("created")),
                "model": body.get("model") or response.headers.get("openai-model"),
                "returned": returned or None,
            }
        )
        return [self._picture(item, details) for item in data[:number]]

    def _picture(self, item: object, shared: Mapping[str, object]) -> Picture:
        if not isinstance(item, Mapping):
            return Picture(None, "an image of the answer is no mapping", details=shared)
        details = {**shared, **self._known({"revised_prompt": item.get("revised_prompt")})}
        text = item.get("b64_json")
        if isinstance(text, str) and text:
            try:
                return Picture(_decoded(base64.b64decode(text, validate=True)), details=details)
            except Exception as error:  # decoders raise all kinds on bytes of others
                reason = self._clean(f"the image of the answer is broken ({error})")
                return Picture(None, reason, details=details)
        if item.get("url"):
            reason = "the service answers with a URL instead of the image. Give --api-options response_format=b64_json."
            raise AskError("stop", reason, details=details)
        why = str(item.get("finish_reason") or item.get("error") or "")
        if any(code in why.lower() for code in (*_MODERATION, *_POLICY)):
            return Picture(None, self._clean(why), refused=True, details=details)
        return Picture(None, self._clean(f"the answer holds no image {why}".strip()), details=details)

    def _judged(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> AskError:
        code, param = str(body.get("code") or ""), body.get("param")
        inner = str(body.get("inner_error") or body.get("innererror") or "")
        said = self._clean(str(body.get("message") or body.get("detail") or "nothing was said"))
        details = self._known({"request_id": headers.get("x-request-id"), "code": code})
        policy = f"{code} {said} {inner}".lower()
        if status < 429 and param != "moderation" and any(word in policy for word in (*_MODERATION, *_POLICY)):
            return AskError("refused", said, details=details)
        text = f"HTTP {status}: {said}"
        if code in _QUOTA or body.get("type") in _QUOTA or status == 402:
            return AskError("stop", f"{text} Settle the account with the service.", details=details)
        if status in _AGAIN or status >= 500 or status < 300:
            wait = retry_after(headers)
            limited = status == 429 or (status == 503 and wait is not None)
            return AskError("again", text, wait, limited, details=details)
        if status in (400, 413, 422) and (param == "prompt" or code in _LONG):
            return AskError("never", text, details=details)
        if status == 401:
            text = "HTTP 401: the service does not accept the key. Check the environment variable that holds it."
        return AskError("stop", text, details=details)

    def _known(self, values: Mapping[str, object]) -> dict[str, object]:
        """The values that are there, without the key in any text."""
        return {
            key: value if isinstance(value, dict) else without_key(str(value), self._client.api_key)
            for key, value in values.items()
            if value not in (None, "")
        }

    def _clean(self, text: str) -> str:
        return _KEY.sub("[key]", without_key(" ".join(text.split()), self._client.api_key))[:_WORDS]


def without_key(text: str, key: str) -> str:
    """`text` with the key blotted out; a placeholder of fewer than 8 characters is no key."""
    return text.replace(key, "[key]") if len(key) >= _SHORTEST_KEY else text


def _decoded(data: bytes) -> Image.Image:
    """Upright 8-bit RGB pixels, transparency on white, without metadata."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"it has pixels of mode {image.mode}, not of 8 bits")
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        pixels = upright.convert("RGB")
    pixels.info.clear()
    return pixels


def _time(created: object) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None for anything that is no time."""
    if isinstance(created, bool) or not isinstance(created, int | float):
        return None
    try:
        return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None


def _package(model: str) -> Any:
    try:
        import openai
    except ImportError:
        raise GeneratorError(
            f"model 'openai:{model}' needs the package openai, which is not installed. "
            "Install it: pip install 'rolecall[api]'."
        ) from None
    return openai
