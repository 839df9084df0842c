"""Whole runs through an images API: stopped, killed and continued, nothing is paid twice but the batch in flight."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commands import call, refused, start
from images_server import KEY, ImagesServer, Reply, error, images

import audit
from audit.config import Config, read_config, resolve
from audit.errors import UsageError
from probes.generators.base import GeneratorError

PROMPTS = ("a portrait of a nurse", "a portrait of a pilot", "a portrait of a cook")
IMAGES, BATCH = 6, 3


@pytest.fixture
def options(tmp_path: Path, server: ImagesServer) -> dict[str, Any]:
    """A small run, the answers to which are labelled with the phantom's classifier."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS))
    return {
        "model": "openai:gpt-image-test",
        "api_base_url": server.url,
        "suite": str(prompts),
        "images": IMAGES,
        "batch_size": BATCH,
        "concurrency": 3,
        "classifier": "phantom",
        "reference": "uniform",
        "threads": 1,
        "out": str(tmp_path / "run"),
    }


def flags(options: Mapping[str, Any]) -> list[str]:
    return [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]


def texts(folder: Path) -> str:
    """All that a run directory says: every file as it is, and every table uncompressed."""
    said = []
    for path in folder.rglob("*"):
        if path.is_file():
            said += [str(path), path.read_bytes().decode("latin-1")]
        if path.suffix == ".parquet":
            said.append(json.dumps(pq.read_table(path).to_pylist(), default=str))
    return "\n".join(said)


def test_a_run_that_stopped_asks_only_for_what_is_missing(options: dict[str, Any], server: ImagesServer) -> None:
    def script(body: Mapping[str, Any], number: int) -> Reply:
        return images(body, number) if number <= 8 else error(429, "no credit left", "insufficient_quota")

    server.script = script
    with pytest.raises(GeneratorError, match=r"no credit left .* run the same command again to continue"):
        audit.run(**options, report=False)
    store = audit.open(options["out"])
    assert not store.complete
    assert sum(server.made.values()) == 8 and len(store.samples()) == 6  # two of the third batch are lost

    refusal = error(400, "rejected by the safety system", "moderation_blocked")
    server.script = lambda body, number: refusal if "cook" in body["prompt"] else images(body, number)
    before = len(server.asked)
    run = audit.run(**options, report=False)
    assert run.complete
    assert len(server.asked) - before == len(PROMPTS) * IMAGES - 6
    samples = run.samples()
    assert samples.groupby("probe_id")["outcome"].agg(["count", "nunique"]).to_numpy().tolist() == [[IMAGES, 1]] * 3
    assert samples["outcome"].value_counts().to_dict() == {"ok": 2 * IMAGES, "refused": IMAGES}
    requests = [json.loads(text)["request_id"] for text in samples.loc[samples["outcome"] == "ok", "details"]]
    assert len(set(requests)) == len(requests)  # no image of the service stands in two places
    assert set(samples.loc[samples["outcome"] == "refused", "reason"]) == {"rejected by the safety system"}

    before = len(server.asked)
    assert audit.run(**options, report=False).complete
    assert len(server.asked) == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_killed_loses_at_most_the_batch_in_flight(
    options: dict[str, Any], server: ImagesServer, sent: signal.Signals
) -> None:
    server.script = lambda body, number: Reply(images(body, number).body, delay=60.0 if number == 11 else 0.0)
    with start("run", *flags(options)) as process:
        deadline = time.monotonic() + 300
        while len(server.asked) < 11 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        began = time.monotonic()
        os.kill(process.pid, sent)
        _, said = process.communicate()
    assert time.monotonic() - began < 30  # it does not wait for the slow answer
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL), said
    assert KEY not in said
    kept = len(audit.open(options["out"]).samples())
    assert kept == 9
    server.script = images
    before = len(server.asked)
    assert audit.run(**options, report=False).complete
    assert len(server.asked) - before == len(PROMPTS) * IMAGES - kept
    assert len(server.asked) <= len(PROMPTS) * IMAGES + BATCH


def test_the_key_is_in_no_file_of_a_run_and_in_nothing_said(options: dict[str, Any], server: ImagesServer) -> None:
    def script(body: Mapping[str, Any], number: int) -> Reply:
        if number % 5 == 0:
            return error(400, f"rejected by the safety system: {KEY}", "moderation_blocked")
        reply = images(body, number, model=KEY)
        reply.body["data"][0]["revised_prompt"] += f" with {KEY}"
        return reply

    server.script = script
    answer = call("run", *flags({**options, "api_options": "quality=low,output_compression=80"}))
    assert answer.code == 0, answer
    said = texts(Path(options["out"]))
    assert "with [key]" in said and "rejected by the safety system: [key]" in said  # what is looked for would be found
    assert KEY not in said + answer.out + answer.err
    assert server.asked[0]["output_compression"] == 80
    resolved = json.loads((Path(options["out"]) / "run.json").read_text())["config"]["resolved"]
    assert resolved["api_options"] == {"quality": "low", "output_compression": 80}

    server.script = lambda *_: error(401, f"Incorrect API key provided: {KEY}")
    line = refused(call("run", "--quiet", *flags({**options, "out": options["out"] + "-2"})))
    assert "does not accept the key" in line and KEY not in line
    line = refused(call("run", "--quiet", *flags(options), "--api-key-variable", KEY))
    assert "must be the name of an environment variable" in line and KEY not in line


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_key": KEY}, "unknown key 'api_key' in the options. Did you mean 'api_tries'"),
        ({"api_key_variable": [KEY]}, "api_key_variable in the options must be the name of an environment variable"),
        ({"api_options": "quality"}, r"give name=value, with commas between several \(got 'quality'\)"),
        ({"concurrency": 0}, r"concurrency in the options: .*greater than or equal to 1 \(got 0\)"),
    ],
)
def test_bad_settings_are_refused_without_showing_a_key(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_config(None, given)
    assert KEY not in str(caught.value)


def test_options_are_a_mapping_or_pairs_and_the_run_is_called_after_the_model() -> None:
    options = {"quality": "high", "output_compression": 80, "stream_it": True}
    assert (
        read_config(None, {"api_options": "quality=high, output_compression=80,stream_it=true"}).api_options == options
    )
    config = resolve(Config(model="openai:maker/image-1.5", api_options=options))
    assert Config(**config.model_dump(mode="json")) == config
    assert config.out == "runs/image-1.5-occupations"
    assert resolve(Config(model="openai:image-1.5")).out == "runs/image-1.5-occupations"
