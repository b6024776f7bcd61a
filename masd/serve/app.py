"""The page and its API: recordings come as request bodies, verdicts go back as JSON, nothing is kept.

Bodies are held in memory alone. Only pages that this server sent may call the API, and only by the names that
this machine has for itself, so that no other site can reach it through the browser.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from masd.errors import MasdError
from masd.judge import output
from masd.judge.picture import spectrogram
from masd.judge.verdict import Judge
from masd.models.bands import NAMES
from masd.serve.limits import Limits
from masd.serve.words import in_words
from masd.systems.base import System

PAGE = Path(__file__).parent / "page"
FILES = {"": "index.html", "page.css": "page.css", "page.js": "page.js", "icon.svg": "icon.svg"}
READING = 60.0  # seconds that a request's body may take
HOSTS = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the status, one line that says why, and seconds to wait."""

    def __init__(self, status: int, line: str, wait: int = 0) -> None:
        self.status, self.line, self.wait = status, line, wait


def make_app(system: System, limits: Limits, prior: float | None = None) -> Starlette:
    """Return the application.

    Args:
        system: what judges.
        limits: what is taken.
        prior: how probable a fake is before anything is heard; one half where none is given.

    Raises:
        MasdError: the system cannot judge recordings, or cannot take the prior.
    """
    api = Api(system, limits, prior)
    routes = [Route(f"/{name}", _sends(PAGE / file)) for name, file in FILES.items()]
    routes += [Route("/api/about", api.about), Route("/api/judge", api.judge, methods=["POST"])]
    handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _no_such}
    return Starlette(routes=routes, middleware=[Middleware(Guard)], exception_handlers=handlers)


def _sends(file: Path) -> Callable[[Request], Any]:
    async def send(request: Request) -> Response:
        return FileResponse(file)

    return send


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    wait = {"Retry-After": str(error.wait)} if error.wait else {}
    return JSONResponse({"error": error.line}, error.status, wait)


def _no_such(request: Request, error: Exception) -> Response:
    """Answer what no route takes, in JSON as every other error."""
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"{error.detail}: there are GET /api/about and POST /api/judge"},
        error.status_code,
        error.headers,
    )


class Guard:
    """Refuses what comes by another host's name or from another origin; sets `HEADERS` on every answer.

    A name that somebody else's DNS points at this machine (DNS rebinding) shows in `Host`; a page of another
    origin in `Origin` or `Sec-Fetch-Site`, which no script can alter.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application do."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        why = stranger(Headers(scope=scope), scope["path"])
        app = JSONResponse({"error": why}, 403) if why else self.app
        await app(scope, receive, guarded)


def stranger(headers: Headers, path: str) -> str:
    """Return why a request is not one of this server's own page, or of a program here; empty if it is."""
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
        return f"this server answers as {HOSTS[0]} and localhost alone"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "requests of other sites are not answered"
    if path.startswith("/api") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "requests of other sites are not answered"
    return ""


class Api:
    """Judges what is sent, `limits.jobs` recordings at a time."""

    def __init__(self, system: System, limits: Limits, prior: float | None = None) -> None:
        self.limits, self.plain = limits, Judge(system, windows=True, prior=prior)
        try:
            self.explains: Judge | None = Judge(system, windows=True, prior=prior, explained=True)
        except MasdError:  # not one of MASD's own
            self.explains = None
        self.here = 0  # requests that are being read, wait or are judged
        self.slots = asyncio.Semaphore(limits.jobs)
        self.asked: defaultdict[str, deque[float]] = defaultdict(deque)

    async def about(self, request: Request) -> Response:
        """Say which model judges, how the label follows, and what is taken."""
        return JSONResponse({
            "model": self.plain.system.name,
            "rule": output.rule(self.plain),
            "explains": self.explains is not None,
            "limits": asdict(self.limits),
        })  # fmt: skip

    async def judge(self, request: Request) -> Response:
        """Judge the recording that is the request's body.

        Query: `name`, what the answer calls it; `explain=true`, whether the answer has `effects`.
        """
        self._count(request.client.host if request.client else "")
        wanted = request.query_params.get("explain", "false")
        judge = {"false": self.plain, "true": self.explains}.get(wanted)
        if judge is None:
            raise Refused(400, "explain: true or false; only MASD's own models can do it")
        if self.here >= self.limits.jobs + self.limits.waiting:
            raise Refused(503, "busy: too many recordings wait; try again", wait=2)
        self.here += 1
        try:
            audio = await self._body(request)
            name = request.query_params.get("name", "")[-200:] or "recording"
            async with self.slots:
                return JSONResponse(await run_in_threadpool(self._judged, judge, audio, name))
        except MasdError as error:
            raise Refused(422, str(error)) from None
        finally:
            self.here -= 1

    def _count(self, client: str) -> None:
        """Take note of a request; refuse it where the client had its share of this minute."""
        now = time.monotonic()
        for other in [known for known, times in self.asked.items() if now - times[-1] > 60]:
            del self.asked[other]
        times = self.asked[client]
        while times and now - times[0] > 60:
            times.popleft()
        if len(times) >= self.limits.per_minute:
            wait = int(61 - (now - times[0]))
            raise Refused(429, f"more than {self.limits.per_minute} requests a minute; wait {wait} s", wait)
        times.append(now)

    async def _body(self, request: Request) -> bytes:
        limit = self.limits.megabytes * 1e6
        too_large = Refused(413, f"larger than {self.limits.megabytes:g} MB; send a part of it")
        stated = request.headers.get("content-length", "0")
        if stated.isdigit() and int(stated) > limit:
            raise too_large
        audio = bytearray()
        try:
            async with asyncio.timeout(READING):
                async for chunk in request.stream():
                    audio += chunk
                    if len(audio) > limit:
                        raise too_large
        except (ClientDisconnect, TimeoutError):
            raise Refused(408, f"the recording did not come within {READING:g} s") from None
        if not audio:
            raise Refused(400, "no audio in the request's body")
        return bytes(audio)

    def _judged(self, judge: Judge, audio: bytes, name: str) -> dict[str, Any]:
        """Return what is said of a recording, in a thread of its own."""
        heard = spectrogram(audio, name, self.limits.seconds)  # which also finds what is too long
        verdict = judge.judge(audio, name=name)
        rows, columns = heard.values.shape
        picture = {
            "rows": rows,
            "columns": columns,
            "seconds": heard.seconds,
            "cuts": heard.cuts,
            "bands": NAMES["multi"],
            "values": base64.b64encode(heard.values.tobytes()).decode(),
        }
        prior = judge.prior if judge.posterior.calibrated else None
        more = {"prior": prior, "words": in_words(verdict, judge), "spectrogram": picture}
        return output.described(verdict) | more
