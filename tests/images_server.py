"""A real HTTP server with the images API of OpenAI, which answers as a script says, well or badly."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

KEY = "sk-test-4f6a0c1e9b7d-DO-NOT-STORE"


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)

    def __call__(self) -> float:
        return sum(self.slept)


@dataclass(frozen=True)
class Reply:
    """One answer; `cut` sends only so many bytes of the body and closes the connection."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0


def png(number: int, alpha: int = 255) -> str:
    """A small image that can be told from others, in base64."""
    buffer = io.BytesIO()
    image = Image.new("RGBA", (8, 8), (number % 256, number // 256 % 256, 90, alpha))
    if alpha == 255:
        image = image.convert("RGB")
    told = PngInfo()
    told.add_text("Software", "a service")
    image.save(buffer, "PNG", pnginfo=told)
    return base64.b64encode(buffer.getvalue()).decode()


def images(body: Mapping[str, Any], number: int, **changes: Any) -> Reply:
    """A good answer to a request, as the service gives it."""
    data = [
        {"b64_json": png(number * 16 + i), "revised_prompt": f"{body['prompt']}, rewritten"} for i in range(body["n"])
    ]
    whole = {"created": 1_790_000_000 + number, "data": data, "quality": "low", **changes}
    return Reply(whole, headers={"x-request-id": f"req_{number}"})


def error(status: int, message: str, code: str | None = None, param: str | None = None, **headers: str) -> Reply:
    """An error as the service gives it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body, status, {"x-request-id": "req_error", **named})


Script = Callable[[Mapping[str, Any], int], Reply]
"""From the body of a request and its number (from 1) to the answer."""


class ImagesServer:
    """The server; every request is kept in `asked`."""

    def __init__(self, script: Script = images) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.made: Counter[str] = Counter()
        """Images of good answers by prompt."""
        self.most_at_once = 0
        self._now = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.serve(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.asked.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            number = len(self.asked)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            reply = self.script(body, number) if handler.path == "/v1/images/generations" else Reply(status=404)
            time.sleep(reply.delay)
            self._send(handler, reply)
        finally:
            with self._lock:
                self._now -= 1
                if reply.status == 200 and reply.cut is None:
                    self.made[body["prompt"]] += body["n"]

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            if reply.cut != 0:
                handler.send_response(reply.status)
                for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(data[: reply.cut])
            handler.close_connection = reply.cut is not None
        except OSError:  # the client left
            handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImagesServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ImagesServer() as running:
        yield running
