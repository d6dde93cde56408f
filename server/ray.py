"""The service on Ray Serve: `serve run configs/ray/serve.yaml`. Each replica is a whole service with models of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI
from ray import serve

from firstrank.server.app import create_app
from firstrank.server.logs import configure
from firstrank.server.registry import Opened
from firstrank.server.settings import Settings, load_settings


@serve.deployment
@serve.ingress()
class Firstrank:
    """A replica. It is there once its models are loaded, so that no request meets one that is not ready."""

    def __init__(self, settings: Settings) -> None:
        configure(settings.log_level)
        self._settings = settings
        self._opened = {name: settings.setup(name).open_scorer() for name in settings.model}

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._settings, {name: partial(_same, opened) for name, opened in self._opened.items()})


def _same(opened: Opened) -> Opened:
    """What was loaded with the replica."""
    return opened


def application(args: dict[str, Any]) -> serve.Application:
    """What a Serve config names in `import_path`; `args` are the service's settings (docs/server.md). Raises InputError for wrong ones."""
    deployment: Any = Firstrank
    return deployment.bind(load_settings(**args))
