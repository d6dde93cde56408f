"""The application under uvicorn: sockets, signals, what is said at the start, and a stop that drains."""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn

from firstrank.reranker.errors import FirstrankError, InputError, MachineError
from firstrank.server.app import Openers, access, create_app
from firstrank.server.connections import Connections
from firstrank.server.logs import configure
from firstrank.server.settings import Settings

_log = logging.getLogger("firstrank.service")
_GRACE = 5
"""seconds beyond the drain, in which late answers are sent"""
_OTHER_FILES = 96
"""descriptors that are no connection: libraries, the model's files, the log"""
_LIMITS = (
    "max_body_bytes",
    "max_documents",
    "max_windows",
    "max_queue",
    "timeout",
    "rate_limit",
    "document_rate_limit",
    "token_rate_limit",
)


def run(settings: Settings, again: Callable[[], Settings] | None = None) -> None:
    """Serves until it is told to stop. `again` reads the settings anew, for SIGHUP.

    Raises MachineError where the address is taken, InputError for a certificate that cannot be read, and what loading a model raises.
    """
    configure(settings.log_level)
    with listen(settings) as listening:
        server = Server(settings, again or (lambda: settings))
        server.run(sockets=[listening])
    if server.failure is not None:
        raise server.failure


class Server(uvicorn.Server):
    """Tells the service at once when a signal comes, and stops when a model cannot be loaded."""

    def __init__(self, settings: Settings, again: Callable[[], Settings], openers: Openers | None = None) -> None:
        self.failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settings = settings
        self.app = create_app(settings, openers, failed=self._fail, again=again)
        most = min(settings.max_connections, max(16, _descriptors() - _OTHER_FILES))
        connections = Connections(most, settings.header_timeout, self.app.state.metrics)
        config = uvicorn.Config(
            self.app,
            host=settings.host,
            port=settings.port,
            lifespan="on",
            http=connections.make,  # type: ignore[arg-type]  # uvicorn calls it as it would a class
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # it is handed to call_later: a fraction will do
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            timeout_graceful_shutdown=math.ceil(settings.drain) + _GRACE,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            raise InputError(f"tls_cert {settings.tls_cert}, tls_key {settings.tls_key}: cannot be used: {error}") from error
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        with suppress(RuntimeError, ValueError):  # signals come to a process's first thread only
            self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        for one in sockets or []:
            self._say(_address(one, "https" if self._settings.tls_cert else "http"))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._settings.unix_socket is not None:  # here, for uvicorn ends the process by the signal that came
            self._settings.unix_socket.unlink(missing_ok=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.app.state.service.drain)

    def _say(self, address: str) -> None:
        settings = self._settings
        limits = {name: getattr(settings, name) for name in _LIMITS if getattr(settings, name) is not None}
        told = {"address": address, "access": access(settings), "models": list(settings.model), "limits": limits}
        _log.info("listening", extra=told)
        if not settings.keys() and not _is_loopback(settings):
            _log.warning(
                "anyone who reaches this address may use the service: it has no keys (api_keys, api_keys_file)", extra={"address": address}
            )

    def _reload(self) -> None:
        try:
            self.app.state.service.reload()
        except FirstrankError as error:
            _log.error("not reloaded: what was there stays", extra={"error": str(error)})

    def _fail(self, error: Exception) -> None:
        self.failure, self.should_exit = error, True


def _is_loopback(settings: Settings) -> bool:
    return settings.unix_socket is not None or settings.host in ("localhost", "::1") or settings.host.startswith("127.")


def _address(one: socket.socket, scheme: str) -> str:
    name = one.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    host, port = name[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _descriptors() -> int:
    """Open files that this process may have, after it has asked for as many as it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def listen(settings: Settings) -> socket.socket:
    """A socket at the settings' address. Raises MachineError where it cannot be had."""
    return _listen_unix(settings.unix_socket) if settings.unix_socket else _listen(settings.host, settings.port)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise MachineError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port") from error
    return listening


def _listen_unix(path: Path) -> socket.socket:
    """A socket file; one that a service left behind when it died is replaced."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)):
                    path.unlink()
        listening.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        raise MachineError(f"cannot listen on {path}: {error.strerror or error}; choose another --unix-socket") from error
    return listening
