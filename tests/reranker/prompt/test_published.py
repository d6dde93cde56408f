"""Published models by name: their prompts' token ids, on the tokenizers that can be had here, against ids that were written down.

Where there is a second implementation of the tokenizer (tiktoken, mistral_common), it encodes the whole prompt by itself and must
come to the same ids.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from firstrank.reranker.errors import ScorerError
from firstrank.reranker.models.catalog import list_specs
from firstrank.reranker.models.loaded import prompter_of
from firstrank.reranker.prompt.labels import frozen, letters
from firstrank.reranker.types import Passage, Request
from tests.reranker.prompt.tokenizers import LLAMA3, QWEN3, ZEPHYR_CHAT, sentencepiece

GOLDEN = Path(__file__).parent / "golden.json"
SPECS = {spec.name: spec for spec in list_specs()}
REQUEST = Request(
    "do bees sleep?",
    (
        Passage("d1", "Bees rest at night; foragers sleep five to eight hours.", "Sleep in bees"),
        Passage("d2", "“Honey” – naïve [A] > [B] text with <|im_end|> and 12345 numbers."),
    ),
)
WORDS = "You are RankLLM, an intelligent assistant that can rank passages based on their relevancy to the query"


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory):
    """The tokenizer of each published model, or of the model that it was trained from."""
    v1, v3 = (sentencepiece(version, tmp_path_factory.mktemp(version)) for version in ("v1", "v3"))
    zephyr = sentencepiece("v1", tmp_path_factory.mktemp("zephyr"), ZEPHYR_CHAT)
    plain = sentencepiece("v1", tmp_path_factory.mktemp("plain"))
    plain.chat_template = None
    llama3, qwen3 = LLAMA3.tokenizer(), QWEN3.tokenizer()
    return {
        "first-mistral": v3,
        "rank-mistral100": v3,
        "rank-zephyr": zephyr,
        "rank-vicuna": plain,  # Llama 2's is not to be had here; of Mistral's, only the template's text is tested
        "llama3-8b": llama3,
        "qwen3-8b": qwen3,
        "gemma2-9b": v1,  # nor is Gemma's
    }


@pytest.fixture(scope="session")
def prompter(tokenizers):
    """A published model's prompter, by name; each takes a second to make."""
    return cache(lambda name: prompter_of(SPECS[name], tokenizers[name], Path()))


@pytest.fixture(scope="session")
def prompt(prompter):
    return lambda name: prompter(name).encode(REQUEST).prompt((0, 1))


ON_THEIR_OWN = ["first-mistral", "rank-mistral100", "rank-zephyr", "llama3-8b", "qwen3-8b"]


@pytest.mark.parametrize("name", ON_THEIR_OWN)
def test_the_prompts_token_ids_are_those_that_were_written_down(prompt, name):
    assert prompt(name) == json.loads(GOLDEN.read_text())[name]


@pytest.mark.parametrize(("name", "source"), [("llama3-8b", LLAMA3), ("qwen3-8b", QWEN3)])
def test_tiktoken_encodes_the_whole_prompt_to_the_same_ids(prompter, name, source):
    """But for `[A`, one token in plain text, which is bracket and label here; and a passage that spells a control token."""
    harmless = Request(REQUEST.query, (REQUEST.passages[0], Passage("d2", "Honey – naïve text and 12345 numbers.")))
    ids = prompter(name).encode(harmless).prompt((0, 1))
    encoding = source.independent()
    parted = {encoding.encode_single_token(f"[{label}"): encoding.encode("[") + encoding.encode(label) for label in "AB"}

    def apart(tokens):
        return [part for token in tokens for part in parted.get(token, [token])]

    assert apart(encoding.encode(encoding.decode(ids), allowed_special="all")) == apart(ids)


@pytest.mark.parametrize("name", ["first-mistral"])
def test_mistral_common_encodes_the_whole_turn_to_the_same_ids(tokenizers, prompt, name):
    from mistral_common.protocol.instruct.messages import UserMessage
    from mistral_common.protocol.instruct.request import ChatCompletionRequest
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    template = SPECS[name].read_template()
    shown = [
        template.passage.replace("{label}", label).replace("{text}", template.text_of(passage.title, passage.text))
        for label, passage in zip("AB", REQUEST.passages, strict=True)
    ]
    before, after = (text.replace("{n}", "2").replace("{query}", REQUEST.query) for text in (template.before, template.after))
    turn = UserMessage(content=before + "".join(shown) + after)
    theirs = MistralTokenizer.v3().encode_chat_completion(ChatCompletionRequest(messages=[turn])).tokens
    ours = prompt(name)
    assert ours[: len(theirs)] == theirs
    assert tokenizers[name].convert_ids_to_tokens(ours[len(theirs) :])[-1].endswith("[")


@pytest.mark.parametrize("name", [name for name in ON_THEIR_OWN if SPECS[name].label_ids])
def test_frozen_labels_are_letters_of_the_models_own_tokenizer(tokenizers, name):
    ids = SPECS[name].label_ids
    assert list(frozen(tokenizers[name], ids)) == list(letters(tokenizers[name], len(ids)))


def test_no_system_role_puts_the_words_before_the_users(tokenizers, prompt):
    for name in ("first-mistral", "gemma2-9b"):
        text = tokenizers[name].decode(prompt(name))
        assert f"{WORDS}\n I will provide you with 2 passages" in text


def test_vicuna_brings_its_own_chat_template(tokenizers, prompt):
    text = tokenizers["rank-vicuna"].decode(prompt("rank-vicuna"))
    assert text.startswith(f"<s>{WORDS} USER: I will provide you with 2 passages") or text.startswith(f"<s> {WORDS} USER: ")
    assert text.endswith("do not say any word or explain. ASSISTANT:")


def test_qwen_does_not_think_and_llama_has_one_date(tokenizers, prompt):
    assert tokenizers["qwen3-8b"].decode(prompt("qwen3-8b")).endswith("<think>\n\n</think>\n\n[")
    assert "Today Date: 26 Jul 2024\n" in tokenizers["llama3-8b"].decode(prompt("llama3-8b"))


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_every_model_says_what_it_takes(spec):
    assert spec.description
    assert spec.licence != "see the model's page"
    assert spec.context
    if spec.answer == "pointwise":
        assert spec.read_point_template().prompt.count("{text}") == 1
    else:
        assert spec.read_template().labels == ("letters" if spec.answer == "logits" else "numbers")


@pytest.mark.parametrize("size", ["0.6b", "1.7b", "4b", "8b", "14b"])
def test_first_on_qwen3_has_rankllms_prompt_and_qwens_letters(tokenizers, size):
    spec, tokenizer = SPECS[f"first-qwen3-{size}"], tokenizers["qwen3-8b"]
    assert list(frozen(tokenizer, spec.label_ids)) == list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert (spec.template, spec.chat) == ("first-rankllm", {"enable_thinking": False})


@pytest.mark.parametrize(("name", "thinking"), [("reasonrank-7b", 3072), ("rank-k-32b", 4000)])
def test_models_that_think_aloud_are_given_room_and_read_after_their_thoughts(tokenizers, name, thinking):
    made = prompter_of(SPECS[name], tokenizers["qwen3-8b"], Path())
    assert made.reserve(20) > thinking
    assert made.read_ordering("<think>[1] > [2]? No.</think> <answer> [3] > [1] > [2] </answer>", 3).order == (2, 0, 1)
    assert made.read_ordering("<think>so</think>\n[2] > [1] = [3]", 3).order == (1, 0, 2)
    for lost in ("<think> [3] > [1] > [2] and so on", "<think>x</think> I cannot"):
        with pytest.raises(ScorerError, match=f"wrote no ordering after its thoughts; raise `thinking:`, which gives it {thinking} tokens"):
            made.read_ordering(lost, 3)
