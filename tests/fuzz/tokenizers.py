"""Tiny tokenizers of the four kinds that models have, each with all control tokens that a template of `configs/prompts` spells."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.conftest import CHATML

SPECIALS = ["<unk>", "<bos>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "[INST]", "[/INST]"]
SOURCE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")  # English that never changes
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _byte_level() -> Tokenizer:
    """As Llama 3's, Qwen's and SmolLM's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [SOURCE], trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


def _sentencepiece() -> Tokenizer:
    """As Mistral's and Gemma's: spaces are a letter, and one stands before the text; bytes where a letter is unknown."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    capitals = [chr(letter) for letter in range(ord("A"), ord("Z") + 1)]
    tokenizer.train_from_iterator(
        [SOURCE],
        trainers.BpeTrainer(
            vocab_size=1200, special_tokens=[*SPECIALS, *BYTES], initial_alphabet=[*capitals, "[", "]", "▁", "\n"], show_progress=False
        ),
    )
    return tokenizer


def _unigram() -> Tokenizer:
    """As T5's and XLM-R's."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    alphabet = [chr(letter) for letter in range(33, 127)] + ["\n"]
    tokenizer.train_from_iterator(
        [SOURCE],
        trainers.UnigramTrainer(
            vocab_size=700, special_tokens=SPECIALS, unk_token="<unk>", initial_alphabet=alphabet, show_progress=False, max_piece_length=8
        ),
    )
    return tokenizer


def _words() -> Tokenizer:
    """As BERT's: lower case is kept, words in pieces."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    capitals = [chr(letter) for letter in range(ord("A"), ord("Z") + 1)]
    tokenizer.train_from_iterator(
        [SOURCE], trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIALS, initial_alphabet=capitals, show_progress=False)
    )
    return tokenizer


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": _byte_level,
    "sentencepiece": _sentencepiece,
    "unigram": _unigram,
    "wordpiece": _words,
}


@cache
def tiny_tokenizer(kind: str) -> Any:
    """As transformers reads it; made once."""
    from transformers import PreTrainedTokenizerFast

    made = MAKERS[kind]()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="</s>", unk_token="<unk>", pad_token="<|endoftext|>", chat_template=CHATML
    )
