"""A model's folder, looked at before anything of it is loaded: what it is not, in a sentence, and an adapter's base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from firstrank.reranker.errors import ModelError

_LFS = b"version https://git-lfs.github.com/spec/"
_READ = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer.model", "*.safetensors", "*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "spiece.model", "sentencepiece.bpe.model")
_HEADS = {
    "ForSequenceClassification": "a classifier of sequences (a cross-encoder, say)",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "a reader of answers",
    "ForMaskedLM": "an encoder",
}
"""how the class ends that wrote a checkpoint -> what that is"""
_USE = "Firstrank ranks with causal language models, those that generate text: give one of them (firstrank models list)"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, as peft writes it."""
    return (folder / "adapter_config.json").is_file()


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZERS)


def adapter_base(folder: Path) -> tuple[str, str | None]:
    """The name of the model that an adapter is for, and its revision. Raises ModelError where the adapter names none."""
    found = _json(folder / "adapter_config.json")
    base, revision = found.get("base_model_name_or_path"), found.get("revision")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / 'adapter_config.json'}: has no base_model_name_or_path: write the name of its base model there")
    return base, revision if isinstance(revision, str) else None


def check_folder(name: str, folder: Path) -> None:
    """Raises ModelError for what cannot rank, by what its files say of themselves: no weights are read."""
    for file in sorted(file for pattern in _READ for file in folder.glob(pattern)):
        _check_pointer(name, file)
    if (folder / "config.json").is_file():
        _check_kind(name, folder, _json(folder / "config.json"))


def _check_pointer(name: str, file: Path) -> None:
    with file.open("rb") as opened:
        if opened.read(len(_LFS)) == _LFS:
            raise ModelError(
                f"model {name!r}: {file} is a pointer of Git LFS, not the file: `git lfs install && git lfs pull` in {file.parent} gets it"
            )


def _check_kind(name: str, folder: Path, config: dict[str, Any]) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES  # type: ignore[attr-defined]  # it has no __all__ entry
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES

    kind, written = config.get("model_type"), [str(one) for one in config.get("architectures") or ()]
    what = f"model {name!r}: {' '.join(written) or kind}"
    if config.get("is_encoder_decoder"):
        raise ModelError(f"{what} is an encoder with a decoder (model_type {kind}). {_USE}")
    for one in written:
        for ending, meaning in _HEADS.items():
            if one.endswith(ending):
                raise ModelError(f"{what} is {meaning}. {_USE}")
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder"):
        raise ModelError(f"{what} is an encoder (model_type {kind}). {_USE}")
    if not isinstance(kind, str):
        raise ModelError(f"{folder / 'config.json'}: has no model_type: it is not the configuration of a model of transformers")
    if kind not in CONFIG_MAPPING_NAMES:
        own = ", ".join(
            sorted(str(one).partition(".")[0] + ".py" for one in (config.get("auto_map") or {}).values() if isinstance(one, str))
        )
        if own:
            raise ModelError(
                f"model {name!r}: needs code of its own ({own}). Firstrank does not run it, because it could do anything on this machine. "
                "Use a model that transformers itself knows"
            )
        raise ModelError(
            f"model {name!r}: this version of transformers does not know model_type {kind!r}: pip install -U transformers, or another model"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(f"{what} generates no text (model_type {kind}). {_USE}")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{file}: must hold a JSON object, not {type(found).__name__}")
    return found
