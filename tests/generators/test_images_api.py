"""The images API against a real HTTP server: every image asked for ends as ok, refused or failed, none twice."""

from __future__ import annotations

import base64
import logging
import random
import sys
import time
from typing import Any

import pytest
from images_server import KEY, Clock, ImagesServer, Reply, error, images, png

from probes.generators.base import Generator, GeneratorError, Request, Result
from probes.generators.images_api import ApiSettings, ImagesGenerator
from probes.generators.registry import load_generator

ONE = [Request("a nurse", 1)]
FOUR = [Request("a nurse", seed) for seed in range(4)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def generator(server: ImagesServer, clock: Clock, **settings: Any) -> ImagesGenerator:
    given = ApiSettings("gpt-image-test", server.url, **{"concurrency": 1, "timeout": 5.0, **settings})
    return ImagesGenerator(given, KEY, sleep=clock.sleep, clock=clock, rng=random.Random(3))


def identity(result: Result) -> int:
    """Which image of the server this is."""
    assert result.image is not None
    red, green, _ = result.image.getpixel((0, 0))  # type: ignore[misc]
    return int(red) + 256 * int(green)


def test_what_the_service_said_of_an_image_is_kept(server: ImagesServer) -> None:
    server.script = lambda body, number: images(body, number, model="gpt-image-test-2026-10-01", size="1024x1536")
    made = load_generator(
        "openai:gpt-image-test",
        api_base_url=server.url + "/",
        api_options={"quality": "low", "background": "opaque", "moderation": "low", "output_compression": 80},
        width=1024,
        height=1536,
        device="cuda",  # of the classifiers
    )
    assert isinstance(made, Generator)
    assert (made.name, made.batch_size, made.fixed_batches) == ("gpt-image-test", 4, False)
    (result,) = made.generate(ONE)
    assert (result.outcome, result.reason) == ("ok", "")
    assert result.image is not None and (result.image.size, result.image.mode) == ((8, 8), "RGB")
    assert result.details == {
        "revised_prompt": "a nurse, rewritten",
        "request_id": "req_1",
        "created": "2026-09-21T14:13:21+00:00",
        "model": "gpt-image-test-2026-10-01",
        "returned": {"size": "1024x1536", "quality": "low"},
    }
    options = {"quality": "low", "background": "opaque", "moderation": "low", "output_compression": 80}
    assert server.asked == [
        {"model": "gpt-image-test", "prompt": "a nurse", "n": 1, "size": "1024x1536", **options},
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert made.fingerprint() == {
        "kind": "images-api",
        "model": "gpt-image-test",
        "base_url": server.url,
        "size": "1024x1536",
        "options": options,
        "images_per_request": 1,
        "seeded": False,
    }


def test_several_prompts_at_a_time_and_several_images_per_request_come_in_order(
    server: ImagesServer, clock: Clock
) -> None:
    requests = [Request(prompt, seed) for seed, prompt in enumerate(["a nurse", "a pilot"] * 5)]
    server.script = lambda body, number: Reply(images(body, number).body, delay=0.05)
    made = generator(server, clock, concurrency=3, images_per_request=2, batch_size=10).generate(requests)
    assert [result.details["revised_prompt"] for result in made] == [f"{each.prompt}, rewritten" for each in requests]
    assert sorted((body["prompt"], body["n"]) for body in server.asked) == sorted(
        (prompt, n) for prompt in ("a nurse", "a pilot") for n in (2, 2, 1)
    )
    assert len({identity(result) for result in made}) == 10
    assert server.most_at_once == 3


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 0.5, 1.0),
        ({"retry_after": "7"}, 7.0, 7.5),
        ({"retry_after_ms": "2500", "retry_after": "9"}, 2.5, 3.0),
        ({"retry_after": "soon"}, 0.5, 1.0),
    ],
)
def test_a_rate_limit_is_waited_for(
    server: ImagesServer, clock: Clock, headers: dict[str, str], least: float, most: float
) -> None:
    limited = error(429, "Rate limit reached", "rate_limit_exceeded", **headers)
    server.script = lambda body, number: limited if number == 1 else images(body, number)
    (result,) = generator(server, clock).generate(ONE)
    assert result.outcome == "ok" and result.details["tries"] == 2
    assert len(clock.slept) == 1 and least <= clock.slept[0] <= most


def test_one_rate_limit_pauses_the_requests_that_come_after_it(server: ImagesServer, clock: Clock) -> None:
    limited = error(429, "slow down", "rate_limit_exceeded", retry_after="30")
    server.script = lambda body, number: limited if body["prompt"] == "a nurse" else images(body, number)
    made = generator(server, clock, concurrency=1, tries=1).generate([*ONE, Request("a pilot", 2)])
    assert [result.outcome for result in made] == ["failed", "ok"]
    assert len(clock.slept) == 1 and 30 <= clock.slept[0] <= 31


GOOD = base64.b64decode(png(1))
BROKEN = {
    "HTTP 500: the server had an error": error(500, "the server had an error"),
    "HTTP 503: overloaded": error(503, "overloaded", retry_after="1"),
    "the answer is not JSON": Reply(b"<html>gateway</html>"),
    "the answer holds no images": Reply({"created": 1, "data": []}),
    "an image of the answer is no mapping": Reply({"data": ["text"]}),
    "the answer holds no image": Reply({"data": [{"b64_json": None}]}),
    "the image of the answer is broken": Reply({"data": [{"b64_json": "%%%"}]}),
    "cannot identify image file": Reply({"data": [{"b64_json": base64.b64encode(b"no image").decode()}]}),
    "broken": Reply({"data": [{"b64_json": base64.b64encode(GOOD[: len(GOOD) * 2 // 3]).decode()}]}),
    "the connection failed": Reply({"data": []}, cut=0),
    "the connection failed ": Reply({"data": [{"b64_json": "A" * 500}]}, cut=100),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_what_went_wrong_is_tried_again_and_then_failed_with_its_reason(
    server: ImagesServer, clock: Clock, reason: str
) -> None:
    server.script = lambda body, number: BROKEN[reason] if number <= 2 else images(body, number)
    (result,) = generator(server, clock).generate(ONE)
    assert (result.outcome, result.details["tries"], len(server.asked)) == ("ok", 3, 3)
    assert clock.slept == sorted(clock.slept) and len(clock.slept) == 2

    server.script = lambda *_: BROKEN[reason]
    (result,) = generator(server, clock, tries=4).generate(ONE)
    assert (result.outcome, result.image, len(server.asked)) == ("failed", None, 7)
    assert reason.strip() in result.reason and result.reason.endswith("(4 tries)") and "\n" not in result.reason


def test_a_slow_answer_is_waited_for_and_one_too_slow_is_asked_again_under_the_same_name(
    server: ImagesServer, clock: Clock
) -> None:
    slow = {1: 0.4, 2: 5.0}
    server.script = lambda body, number: Reply(images(body, number).body, delay=slow.get(number, 0.0))
    made = generator(server, clock, timeout=1.0)
    assert made.generate(ONE)[0].details.get("tries") is None
    (result,) = made.generate(ONE)
    assert (result.outcome, result.details["tries"]) == ("ok", 2)
    names = [headers["idempotency-key"] for headers in server.headers]
    assert names[1] == names[2] != names[0]  # the service may know that it made that image
    server.script = lambda body, number: Reply(images(body, number).body, delay=0.5)
    (result,) = generator(server, clock, timeout=0.1, tries=2).generate(ONE)
    assert (result.outcome, result.reason) == ("failed", "no answer within 0.1 s (2 tries)")


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "Your request was rejected by the safety system.", "moderation_blocked"),
        error(400, "Your request was rejected as a result of our safety system.", "content_policy_violation"),
        error(400, "Your request was rejected by the safety system."),
        error(403, "Blocked: rejected by the safety system", "content_filter"),
    ],
)
def test_a_refusal_is_an_outcome_with_the_reason_of_the_service(
    server: ImagesServer, clock: Clock, reply: Reply
) -> None:
    server.script = lambda *_: reply
    (result,) = generator(server, clock).generate(ONE)
    assert (result.outcome, result.image, clock.slept, len(server.asked)) == ("refused", None, [], 1)
    assert result.reason == reply.body["error"]["message"]
    assert result.details["request_id"] == "req_error"


def test_images_that_are_missing_or_broken_in_an_answer_are_asked_for_alone(server: ImagesServer, clock: Clock) -> None:
    def script(body: Any, number: int) -> Reply:
        reply = images(body, number)
        if number == 1:  # three of four, one of them broken and one refused
            reply.body["data"] = [reply.body["data"][0], {"b64_json": "%"}, {"finish_reason": "content_filter"}]
        if number == 2:  # more than asked for
            reply.body["data"] *= 3
        return reply

    server.script = script
    made = generator(server, clock, images_per_request=4).generate(FOUR)
    assert [body["n"] for body in server.asked] == [4, 2]
    assert sorted(result.outcome for result in made) == ["ok", "ok", "ok", "refused"]
    assert {result.reason for result in made} == {"", "content_filter"}


def test_a_prompt_that_cannot_be_asked_fails_alone(server: ImagesServer, clock: Clock) -> None:
    long = error(400, "Invalid 'prompt': string too long.", "string_above_max_length", "prompt")
    server.script = lambda body, number: long if "nurse" in body["prompt"] else images(body, number)
    made = generator(server, clock).generate([*ONE, Request("a pilot", 2)])
    assert [(result.outcome, result.reason) for result in made] == [
        ("failed", "HTTP 400: Invalid 'prompt': string too long."),
        ("ok", ""),
    ]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error(401, f"Incorrect API key provided: {KEY}."), "HTTP 401: the service does not accept the key"),
        (error(403, f"Your organization must be verified ({KEY})."), r"HTTP 403: .* must be verified \(\[key\]\)"),
        (error(404, "The model `gpt-image-test` does not exist", "model_not_found"), "HTTP 404: The model"),
        (error(400, "Invalid value: 'best'", "invalid_value", "quality"), "HTTP 400: Invalid value: 'best'"),
        (error(400, "moderation must be 'low' or 'auto'", "invalid_value", "moderation"), "HTTP 400: moderation must"),
        (error(429, "You exceeded your quota", "insufficient_quota"), "HTTP 429: .* Settle the account"),
        (error(429, "images per day", "rate_limit_exceeded", retry_after="86400"), "asks to wait 86400 s"),
        (Reply({"data": [{"url": "https://example.org/1.png"}]}), "--api-options response_format=b64_json"),
    ],
)
def test_what_stands_against_every_image_stops_the_run_at_once(
    server: ImagesServer, clock: Clock, reply: Reply, message: str
) -> None:
    server.script = lambda *_: reply
    with pytest.raises(GeneratorError, match=message) as caught:
        generator(server, clock).generate(FOUR)
    time.sleep(0.05)
    assert len(server.asked) == 1 and clock.slept == []
    assert str(caught.value).endswith("run the same command again to continue.") and "\n" not in str(caught.value)
    assert KEY not in repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


def test_a_service_that_is_down_stops_the_run_instead_of_failing_every_image(
    server: ImagesServer, clock: Clock
) -> None:
    server.script = lambda *_: error(502, "bad gateway")
    made = generator(server, clock, tries=2)
    for _ in range(4):
        assert {result.outcome for result in made.generate(FOUR)} == {"failed"}
    with pytest.raises(GeneratorError, match=r"gave no image for the last 20 requests \(the last: HTTP 502"):
        made.generate(FOUR)
    server.script = images
    assert {result.outcome for result in made.generate(FOUR)} == {"ok"}


@pytest.mark.parametrize("seed", range(4))
def test_with_every_trouble_at_once_each_image_has_one_outcome_and_none_is_used_twice(
    server: ImagesServer, clock: Clock, seed: int
) -> None:
    rng = random.Random(seed)
    refusal = error(400, "rejected by the safety system", "moderation_blocked")
    always = {"job 4": refusal, "job 5": BROKEN["broken"]}
    troubles = [*BROKEN.values(), refusal, error(429, "slow", retry_after="1"), error(429, "slow")]

    def script(body: Any, number: int) -> Reply:
        if body["prompt"] in always:
            return always[body["prompt"]]
        if rng.random() < 0.4:
            return rng.choice(troubles)
        reply = images(body, number)
        reply.body["data"] = reply.body["data"][: rng.randint(1, 3)]
        return reply

    server.script = script
    requests = [Request(f"job {i // 7}", i) for i in range(42)]
    made = generator(server, clock, concurrency=4, images_per_request=3, tries=5).generate(requests)
    assert len(made) == 42
    assert {result.outcome for result in made} == {"ok", "refused", "failed"}
    good = [result for result in made if result.outcome == "ok"]
    assert len({identity(result) for result in good}) == len(good) > 5
    for request, result in zip(requests, made, strict=True):
        if result.outcome == "ok":
            assert result.details["revised_prompt"] == f"{request.prompt}, rewritten"
        else:
            assert result.image is None and result.reason


def test_transparency_is_laid_on_white_and_metadata_is_dropped(server: ImagesServer, clock: Clock) -> None:
    server.script = lambda *_: Reply({"data": [{"b64_json": png(200, alpha=0)}]})
    (result,) = generator(server, clock).generate(ONE)
    assert result.image is not None and result.image.getpixel((0, 0)) == (255, 255, 255)
    server.script = images
    (result,) = generator(server, clock).generate(ONE)
    assert result.image is not None and result.image.info == {}


def test_the_key_is_in_no_result_log_or_text(
    server: ImagesServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def script(body: Any, number: int) -> Reply:
        if body["prompt"] == "refused":
            return error(400, f"rejected by the safety system for {KEY}", "moderation_blocked")
        if body["prompt"] == "failed":
            return error(500, f"no luck with {KEY} and {KEY[:12]}***")
        reply = images(body, number, model=KEY, size=KEY)
        reply.body["data"][0]["revised_prompt"] = f"a nurse with {KEY}"
        return Reply(reply.body, headers={"x-request-id": KEY if body["prompt"] == "header" else "req_1"})

    server.script = script
    (result,) = generator(server, clock).generate([Request("header", 1)])
    assert result.details["request_id"] == "[key]"
    caplog.set_level(logging.DEBUG)
    made = generator(server, clock, tries=2)
    results = made.generate([Request(prompt, 1) for prompt in ("ok", "refused", "failed")])
    assert [result.outcome for result in results] == ["ok", "refused", "failed"]
    told = [repr(results), repr(made), repr(vars(made)), repr(vars(made._client)), repr(made.fingerprint())]
    assert caplog.records  # the client does log
    assert all(KEY not in text and KEY[:12] not in text for text in [*told, caplog.text])
    assert results[0].details["revised_prompt"] == "a nurse with [key]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_base_url": f"http://user:{KEY}@host/v1"}, "the key stands in the configuration"),
        ({"api_base_url": "http://user:word@host/v1"}, "without user, password"),
        ({"api_base_url": "host/v1"}, r"api_base_url must be such as https://api.openai.com/v1 \(got 'host/v1'\)"),
        ({"api_options": {"user_token": "x"}}, "must not hold 'user_token': keys are read from the environment only"),
        ({"api_options": {"style": KEY}}, "the key stands in the configuration"),
        ({"api_options": {"n": 4}}, "must not hold 'n', which Rolecall sets itself"),
        ({"api_options": {"output_format": "svg"}}, r"output_format must be one of png, jpeg, webp \(got 'svg'\)"),
        ({"api_options": {"response_format": "url"}}, "response_format must be b64_json"),
        ({"api_options": {"size": "auto"}, "width": 8, "height": 8}, "size is given twice"),
        ({"width": 1024}, r"needs width and height \(got width 1024, height None\)"),
        ({"concurrency": 0}, r"concurrency of an images API must be above 0 \(got 0\)"),
        ({"api_timeout": -1.0}, r"timeout of an images API must be above 0 \(got -1.0\)"),
        ({"api_key_variable": KEY}, "must be the name of an environment variable in capitals"),
        ({"api_key_variable": "NO_SUCH_KEY"}, "the environment variable NO_SUCH_KEY is not set"),
        ({"steps": 4}, r"takes no steps \(got 4\)\. Omit it; it takes api_base_url"),
    ],
)
def test_settings_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(GeneratorError, match=message) as caught:
        load_generator("openai:gpt-image-test", **options)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_must_be_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "two words")
    with pytest.raises(GeneratorError, match="OTHER_KEY holds no key"):
        load_generator("openai:m", api_key_variable="OTHER_KEY")
    monkeypatch.setenv("OTHER_KEY", "none")
    with pytest.raises(GeneratorError, match=r"model must be openai:MODEL_ID, .*\(got ''\)"):
        load_generator("openai:", api_key_variable="OTHER_KEY")


def test_other_models_take_no_settings_of_an_api() -> None:
    with pytest.raises(GeneratorError, match=r"model 'phantom' takes no concurrency \(got 2\)"):
        load_generator("phantom", concurrency=2)
    with pytest.raises(GeneratorError, match=r"model 'owner/name' takes no api_tries \(got 2\)"):
        load_generator("owner/name", api_tries=2)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(GeneratorError, match=r"needs the package openai.*pip install 'rolecall\[api\]'"):
        load_generator("openai:gpt-image-test")
