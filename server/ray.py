"""The service on Ray Serve: `serve run configs/ray/serve.yaml`. Each replica is a whole service with models of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray import serve

from firstrank.server.app import create_app
from firstrank.server.logs import configure
from firstrank.server.settings import Settings, load_settings


@serve.deployment
@serve.ingress()
class Firstrank:
    """A replica. It is there once its models are loaded, so that no request meets one that is not ready."""

    def __init__(self, settings: Settings) -> None:
        configure(settings.log_level)
        self._settings = settings
        self._rerankers = {name: settings.setup(name).open() for name in settings.model}

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._settings, {name: lambda reranker=reranker: reranker for name, reranker in self._rerankers.items()})


def application(args: dict[str, Any]) -> serve.Application:
    """What a Serve config names in `import_path`; `args` are the service's settings (docs/server.md). Raises InputError for wrong ones."""
    return Firstrank.bind(load_settings(**args))
