"""Real tokenizers that can be had without a network: Mistral's, as `mistral_common` ships them, and the default model's."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import mistral_common

MISTRAL = Path(mistral_common.__file__).parent / "data"
SENTENCEPIECE = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}
MISTRAL_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% else %}{{ raise_exception('only user turns') }}{% endif %}{% endfor %}"
)


@cache
def real_tokenizer(name: str) -> Any:
    """`default`, `tekken`, or a version of SentencePiece; made once, for it takes seconds."""
    if name == "default":
        from reranker.models import load_model

        return load_model("default").tokenizer
    if name == "tekken":
        return tekken()
    with tempfile.TemporaryDirectory() as folder:
        return sentencepiece(name, Path(folder))


def sentencepiece(version: str, folder: Path) -> Any:
    """Mistral's SentencePiece tokenizer, with a chat template that knows no system role."""
    from transformers import AutoTokenizer

    shutil.copy(MISTRAL / SENTENCEPIECE[version], folder / "tokenizer.model")
    (folder / "config.json").write_text('{"model_type": "mistral"}')
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": MISTRAL_CHAT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return AutoTokenizer.from_pretrained(folder)


def tekken() -> Any:
    """Mistral's tekken, which merges `[A` in plain text."""
    from transformers.integrations.mistral import convert_tekken_tokenizer

    tokenizer = convert_tekken_tokenizer(str(MISTRAL / "tekken_240911.json"))
    tokenizer.chat_template = MISTRAL_CHAT
    return tokenizer
