"""Fixtures shared by all tests: the real collections, a tiny model made on the spot, and the default model."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: a thread each, before torch counts the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

with suppress(ImportError):  # the optional suites' environments do without
    from hypothesis import HealthCheck, settings

    settings.register_profile("firstrank", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("firstrank")

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def no_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, as on a machine without a network, whatever its settings here."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real collections, `FIRSTRANK_DATA`; skips without it, but fails where CI=true."""
    named = os.environ.get("FIRSTRANK_DATA")
    folder = Path(named) if named else None
    if folder is not None and folder.is_dir():
        return folder
    if os.environ.get("CI") == "true":
        pytest.fail(f"FIRSTRANK_DATA={named!r} is not a folder: CI needs the collections")
    pytest.skip("set FIRSTRANK_DATA to the folder of collections")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the model of `make_tiny_model`."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny-model"))


def make_tiny_model(folder: Path) -> Path:
    """Writes a two-layer Llama with random weights and a byte-level BPE tokenizer with a ChatML template.

    Right for speed and properties, never as proof of quality. A..Z are single tokens.
    """
    import torch
    from transformers import LlamaForCausalLM

    config = make_tiny_tokenizer(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_tiny_tokenizer(folder: Path) -> Any:
    """Writes the tokenizer of `make_tiny_model`, and its configuration; needs no torch. Gives the configuration."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    source = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")  # English that never changes
    tokenizer.train_from_iterator([source], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHATML,
        model_max_length=8192,
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        initializer_range=0.2,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    return config
