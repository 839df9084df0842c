"""Models behind an images API: `openai:MODEL_ID`, at OpenAI or at any server that answers in the same way.

Such services give no seed: an image cannot be made again, and images of two models are not paired. The seed of a
request only numbers it.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from probes.generators.base import GeneratorError, Outcome, Request, Result
from probes.generators.images_api_client import AskError, ImagesClient, without_key
from probes.generators.retries import Backoff, Pause

PREFIX = "openai:"
BASE_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_WAIT = 600.0
"""If a service asks to wait longer than this (in seconds), the run stops and is continued later."""
STOP_AFTER = 20
"""After so many images in a row that failed, in whole batches, the run stops: the service is down."""
CONTINUE = "What was made is kept; run the same command again to continue."
_FORMATS = ("png", "jpeg", "webp")
_OURS = ("model", "prompt", "n", "stream", "partial_images", "user")
_SECRET = re.compile(r"key|token|secret|authorization|password", re.IGNORECASE)

Option = str | int | float | bool


@dataclass(frozen=True)
class ApiSettings:
    """What is asked of the service, and how."""

    model: str
    """The service's own id of the model."""
    base_url: str = BASE_URL
    """Address of the API up to and without `/images/generations`."""
    size: str | None = None
    """`WIDTHxHEIGHT` in pixels; None is the service's default."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Further arguments, passed on as they are: `quality`, `background`, `moderation`, `output_format` …"""
    images_per_request: int = 1
    """Images of one request; they may share a rewritten prompt."""
    concurrency: int = 4
    """Requests at the same time."""
    batch_size: int | None = None
    """Images stored together; by default as many as are under way at the same time."""
    timeout: float = 180.0
    """Seconds to wait for an answer to start, or to go on."""
    tries: int = 6
    """Requests for one image, the first one among them."""


class ImagesGenerator:
    """An images API as a generator.

    `details` of a result holds what the service said of it: `revised_prompt` (the prompt as the service rewrote it),
    `request_id`, `created` (time, UTC), `model` as returned, `returned` (size, quality, background, format as the
    service chose them), `code` of an error, and `tries` if there was more than one.
    """

    fixed_batches = False

    def __init__(
        self,
        settings: ApiSettings,
        key: str,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Check the settings. Nothing is asked of the service yet; `sleep`, `clock` and `rng` are for tests.

        Raises:
            GeneratorError: if a setting cannot be used, or the package `openai` is missing.
        """
        check(settings, key)
        self.name = settings.model.rstrip("/").split("/")[-1]
        self.batch_size = settings.batch_size or settings.concurrency * settings.images_per_request
        self._settings = settings
        self._backoff = backoff or Backoff(tries=settings.tries)
        self._sleep, self._rng = sleep, rng or random.Random()
        self._pause = Pause(clock)
        self._failed = 0
        arguments = {**({"size": settings.size} if settings.size else {}), **settings.options}
        self._client = ImagesClient(settings.model, settings.base_url, key, arguments, settings.timeout)

    def fingerprint(self) -> dict[str, object]:
        """Everything known that the images depend on. `seeded` is False: the service takes no seed."""
        settings = self._settings
        return {
            "kind": "images-api",
            "model": settings.model,
            "base_url": settings.base_url,
            "size": settings.size,
            "options": dict(settings.options),
            "images_per_request": settings.images_per_request,
            "seeded": False,
        }

    def generate(self, requests: Sequence[Request]) -> list[Result]:
        """Ask for one image per request, several requests at a time.

        Raises:
            GeneratorError: if the service cannot be used as configured, asks for a long wait, or gave no image for
                the last `STOP_AFTER` requests.
        """
        jobs = _jobs(requests, self._settings.images_per_request)
        results: dict[int, Result] = {}
        for part in self._carry_out(jobs):
            results.update(part)
        made = [results[place] for place in range(len(requests))]
        self._watch(made)
        return made

    def _watch(self, made: Sequence[Result]) -> None:
        if any(result.outcome != "failed" for result in made):
            self._failed = 0
            return
        self._failed += len(made)
        if self._failed >= STOP_AFTER:
            count, self._failed = self._failed, 0
            raise GeneratorError(
                f"{self._settings.base_url} gave no image for the last {count} requests (the last: {made[-1].reason}). "
                f"{CONTINUE}"
            )

    def _carry_out(self, jobs: Sequence[_Job]) -> list[dict[int, Result]]:
        """The results of all jobs, from daemon threads: an interrupted run does not wait for the service."""
        stop = threading.Event()
        waiting: SimpleQueue[_Job] = SimpleQueue()
        done: SimpleQueue[dict[int, Result] | BaseException] = SimpleQueue()
        for job in jobs:
            waiting.put(job)

        def work() -> None:
            while not stop.is_set():
                try:
                    done.put(self._settle(waiting.get_nowait(), stop))
                except Empty:
                    return
                except BaseException as error:
                    stop.set()  # before it is told: nothing more is asked, and paid
                    done.put(error)

        for _ in range(min(self._settings.concurrency, len(jobs))):
            threading.Thread(target=work, daemon=True).start()
        found = []
        try:
            for _ in jobs:
                part = done.get()
                if isinstance(part, BaseException):
                    raise part
                found.append(part)
        finally:
            stop.set()
        return found

    def _settle(self, job: _Job, stop: threading.Event) -> dict[int, Result]:
        """Ask until every place of the job has its result."""
        left, results, identity = list(job.places), dict[int, Result](), uuid.uuid4().hex
        sleep = self._sleep or stop.wait
        trouble = AskError("never", "nothing was asked")
        for tried in range(1, self._backoff.tries + 1):
            self._pause.wait(sleep, self._rng)
            if stop.is_set():
                break
            extra: dict[str, object] = {"tries": tried} if tried > 1 else {}
            try:
                trouble = self._ask(job.prompt, left, results, identity, extra)
            except AskError as met:
                trouble = met
            if not trouble.unheard:
                identity = uuid.uuid4().hex
            if not left:
                return results
            if trouble.kind != "again":
                break
            self._rest(trouble, tried, sleep)
        if trouble.kind == "stop":
            raise self._stopped(trouble.reason)
        outcome: Outcome = "refused" if trouble.kind == "refused" else "failed"
        tail = f" ({tried} tries)" if tried > 1 and outcome == "failed" else ""
        last = {**trouble.details, **extra}
        return results | {place: Result(outcome, reason=trouble.reason + tail, details=last) for place in left}

    def _ask(
        self, prompt: str, left: list[int], results: dict[int, Result], identity: str, extra: Mapping[str, object]
    ) -> AskError:
        """Ask once for the places left; settled ones go from `left` to `results`. Returns why others are still left."""
        pictures = self._client.ask(prompt, len(left), identity)
        trouble = AskError("again", f"the answer holds {len(pictures)} of {len(left)} images")
        for picture in pictures:
            details = {**picture.details, **extra}
            if picture.image is not None:
                results[left.pop(0)] = Result("ok", picture.image, details=details)
            elif picture.refused:
                results[left.pop(0)] = Result("refused", reason=picture.reason, details=details)
            else:
                trouble = AskError("again", picture.reason, details=dict(picture.details))
        return trouble

    def _rest(self, trouble: AskError, tried: int, sleep: Callable[[float], object]) -> None:
        if trouble.wait is not None and trouble.wait > LONGEST_WAIT:
            raise self._stopped(f"{trouble.reason} The service asks to wait {trouble.wait:.0f} s.")
        seconds = self._backoff.seconds(tried, trouble.wait, self._rng.random())
        if trouble.limited:
            self._pause.hold(trouble.wait if trouble.wait is not None else seconds)
        if tried < self._backoff.tries:
            sleep(seconds)

    def _stopped(self, reason: str) -> GeneratorError:
        return GeneratorError(f"{self._settings.base_url}, model {self._settings.model!r}: {reason} {CONTINUE}")


@dataclass(frozen=True)
class _Job:
    """One request for images of the same prompt, and the places of the batch that they fill."""

    prompt: str
    places: tuple[int, ...]


def _jobs(requests: Sequence[Request], most: int) -> list[_Job]:
    places: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        places.setdefault(request.prompt, []).append(place)
    return [
        _Job(prompt, tuple(found[first : first + most]))
        for prompt, found in places.items()
        for first in range(0, len(found), most)
    ]


def load_images_api(
    model: str,
    *,
    api_base_url: str | None = None,
    api_key_variable: str | None = None,
    api_options: Mapping[str, Option] | None = None,
    api_images_per_request: int | None = None,
    api_timeout: float | None = None,
    api_tries: int | None = None,
    concurrency: int | None = None,
    width: int | None = None,
    height: int | None = None,
    batch_size: int | None = None,
) -> ImagesGenerator:
    """The generator of `openai:MODEL_ID`; what is None takes the default of `ApiSettings`.

    The key is read from the environment variable `api_key_variable`, by default `OPENAI_API_KEY`.

    Raises:
        GeneratorError: if there is no key, a setting cannot be used, or the package `openai` is missing.
    """
    if (width is None) != (height is None):
        raise GeneratorError(f"an images API needs width and height (got width {width}, height {height}).")
    given: dict[str, Any] = {
        "base_url": api_base_url.rstrip("/") if api_base_url else None,
        "size": f"{width}x{height}" if width else None,
        "options": api_options,
        "images_per_request": api_images_per_request,
        "concurrency": concurrency,
        "batch_size": batch_size,
        "timeout": api_timeout,
        "tries": api_tries,
    }
    settings = ApiSettings(
        model.removeprefix(PREFIX),
        **{key: value for key, value in given.items() if value is not None},
    )
    return ImagesGenerator(settings, _key(api_key_variable or KEY_VARIABLE))


def _key(variable: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", variable):
        raise GeneratorError(
            f"api_key_variable must be the name of an environment variable in capitals, such as {KEY_VARIABLE}. "
            "It is not shown here, since it may be a key; keys are read from the environment only."
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise GeneratorError(
            f"the environment variable {variable} is not set. Put the key of the service in it (any word if the "
            "service needs none), or name another with --api-key-variable."
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise GeneratorError(
            f"the environment variable {variable} holds no key: it has spaces or letters with accents."
        )
    return key


def check(settings: ApiSettings, key: str) -> None:
    """Refuse settings that cannot work, before anything is asked or written.

    Raises:
        GeneratorError: if one cannot be used, or the key stands in one of them.
    """
    if without_key(str(settings), key) != str(settings):
        raise GeneratorError("the key stands in the configuration, which is stored with the run. Take it out.")
    if not re.fullmatch(r"[\w./:@+-]+", settings.model):
        raise GeneratorError(f"model must be openai:MODEL_ID, with an id of the service (got {settings.model!r}).")
    url = urlsplit(settings.base_url)
    if url.username or url.password or url.query or url.fragment:
        raise GeneratorError(
            "api_base_url must be an address without user, password, query and fragment. Take them out."
        )
    if url.scheme not in ("http", "https") or not url.hostname:
        raise GeneratorError(f"api_base_url must be such as {BASE_URL} (got {settings.base_url!r}).")
    for name in ("images_per_request", "concurrency", "batch_size", "timeout", "tries"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise GeneratorError(f"{name} of an images API must be above 0 (got {value}).")
    _check_options(settings)


def _check_options(settings: ApiSettings) -> None:
    for name in settings.options:
        if _SECRET.search(name):
            raise GeneratorError(f"api_options must not hold {name!r}: keys are read from the environment only.")
        if name in _OURS:
            raise GeneratorError(f"api_options must not hold {name!r}, which Rolecall sets itself. Take it out.")
    if settings.size and "size" in settings.options:
        raise GeneratorError("the size is given twice, as width and height and in api_options. Leave one out.")
    format_ = settings.options.get("output_format", "png")
    if format_ not in _FORMATS:
        raise GeneratorError(f"output_format must be one of {', '.join(_FORMATS)} (got {format_!r}).")
    if settings.options.get("response_format", "b64_json") != "b64_json":
        raise GeneratorError("response_format must be b64_json: images behind a URL are gone within the hour.")
