"""Models that run elsewhere and have no folder: what is said of them, by the name under which a host serves them."""

from __future__ import annotations

import re

from firstrank.reranker.config import config_dir
from firstrank.reranker.models.catalog import find_model
from firstrank.reranker.models.spec import ModelSpec, Weights

_OURS = re.compile(r"[\w.-]+")


def remote_settings(name: str, template: str) -> ModelSpec:
    """The settings of a name that has a YAML without weights in `configs/models/`; of any other name, the defaults with that template."""
    if _OURS.fullmatch(name) and (config_dir() / "models" / f"{name}.yaml").is_file():
        spec, _ = find_model(name)
        if spec.weights == Weights():
            return spec
    return ModelSpec(name=name, template=template, answer="permutation")
