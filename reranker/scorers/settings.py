"""Settings of an engine, as the command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firstrank.reranker.errors import InputError


def engine_args(texts: Sequence[str]) -> dict[str, Any]:
    """`--engine-arg KEY=VALUE`, repeated -> a mapping; values are read as YAML (true, 2, 0.8). Raises InputError for another form."""
    import yaml

    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise InputError(f"--engine-arg {text}: give KEY=VALUE, tensor_parallel_size=2 say")
        try:
            given[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--engine-arg {text}: the value is not YAML; quote it") from error
    return given
