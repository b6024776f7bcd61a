"""A page in the browser that judges recordings, and a JSON API: `python3 -m masd.bin.serve`."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from masd.cli import run, say
from masd.errors import MasdError
from masd.serve.limits import Limits


def serve(
    port: int = 8000,
    model: Path | None = None,
    prior: float | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> None:
    """Judge recordings on a page, http://127.0.0.1:8000, and by an API at /api/judge, until Ctrl-C.

    Answers come to this machine alone, and only to its own page and to programs: docs/serve.md. A recording
    is held in memory while it is judged, and nowhere else.

    Args:
        port: of 127.0.0.1; 0 takes a free one.
        model: model folder that train made, or what pack made of one; without it, the model that comes
            with this package.
        prior: how probable a fake is before anything is heard; one half where none is given.
        limits: what is taken.

    Raises:
        MasdError: the model cannot be used, or the port is taken.
    """
    import uvicorn

    from masd.pretrained import PLUS
    from masd.serve.app import make_app
    from masd.systems import load

    app = make_app(load(model or PLUS), limits, prior)
    with bound(port) as listening:
        say(f"http://127.0.0.1:{listening.getsockname()[1]} judges by {model or PLUS}; Ctrl-C ends it")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def bound(port: int) -> socket.socket:
    """Return a socket of 127.0.0.1; `MasdError` if that port cannot be had."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise MasdError(f"--port {port}: {error}; choose another, or 0 for a free one") from None
    return listening


if __name__ == "__main__":
    run(serve, output="")
