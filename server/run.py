"""The application under uvicorn: a socket, signals, and a stop that drains."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from types import FrameType

import uvicorn

from firstrank.reranker.errors import MachineError
from firstrank.server.app import create_app
from firstrank.server.logs import configure
from firstrank.server.settings import Settings

_log = logging.getLogger("firstrank.service")
_GRACE = 5
"""seconds beyond the drain, in which late answers are sent"""


def run(settings: Settings) -> None:
    """Serves until it is told to stop. Raises MachineError where the address is taken, and what loading a model raises."""
    configure(settings.log_level)
    listening = _listen(settings.host, settings.port)
    server = _Server(settings)
    with listening:
        server.run(sockets=[listening])
    if server.failure is not None:
        raise server.failure


class _Server(uvicorn.Server):
    """Tells the service at once when a signal comes, and stops when a model cannot be loaded."""

    def __init__(self, settings: Settings) -> None:
        self.failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app = create_app(settings, failed=self._fail)
        super().__init__(
            uvicorn.Config(
                self._app,
                host=settings.host,
                port=settings.port,
                lifespan="on",
                http="h11",  # httptools has no bound on headers: a client could fill the memory
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(settings.drain) + _GRACE,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        for one in sockets or []:
            host, port = one.getsockname()[:2]
            _log.info("listening", extra={"address": f"http://{f'[{host}]' if ':' in host else host}:{port}"})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.state.service.drain)

    def _fail(self, error: Exception) -> None:
        self.failure, self.should_exit = error, True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise MachineError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port") from error
    return listening
