"""Prompts of one passage: what the tokenizer gives for the whole string, or what the published code makes of its pieces."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.pointwise import PointPrompter, Pointwise
from firstrank.reranker.prompt.template import PointTemplate, read_template
from firstrank.reranker.types import Passage, Request
from tests.reranker.prompt.tokenizers import QWEN3, real_tokenizer
from tests.reranker.scorers.windows import docstrings

QUERY = "do bees sleep? (2 hours)"
ODD = [
    "",
    "(a) first",
    "7 words",
    "“Honey” – naïve\n\ntext",
    "睡眠 bees.",
    "  spaced  ",
    "'s left over",
    "ends in a bracket [",
    "…",
    "\ttabs",
]
TEXTS = ODD + [text for _, text in docstrings(40)[:200]]
TOKENS = {"qwen3-reranker": ("yes", "no"), "mxbai-rerank": ("1", "0"), "compact-mark": ("[", None), "sentencepiece": ("▁Yes", "▁No")}
SENTENCEPIECE = PointTemplate(name="sentencepiece", prompt="<s>A: {query}\nB: {text}\nDoes B answer A? Yes or No:")


@cache
def tokenizer(name):
    return QWEN3.tokenizer() if name == "qwen" else real_tokenizer(name)


@cache
def prompter(template, name, context=8192):
    shape = SENTENCEPIECE if template == "sentencepiece" else read_template(template)
    shape = shape.model_copy(update={"tokens": None})
    return PointPrompter(tokenizer(name), shape, Pointwise(yes=TOKENS[template][0], no=TOKENS[template][1]), context=context)


def request_of(*texts, query=QUERY, **more):
    return Request(query, tuple(Passage(str(i), text) for i, text in enumerate(texts)), "q", **more)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def whole(made, text, query=QUERY, instruction=None):
    """The prompt as one string."""
    filled = made.template.prompt.replace("{instruction}", instruction or made.template.instruction)
    return filled.replace("{query}", query.strip()).replace("{text}", made.template.text_of("", text))


PAIRS = [("qwen3-reranker", "qwen"), ("compact-mark", "first-smollm2"), ("sentencepiece", "v1"), ("sentencepiece", "v3")]


@pytest.mark.parametrize(("template", "name"), PAIRS)
def test_header_and_suffix_are_the_ids_of_the_whole_string(template, name):
    made = prompter(template, name)
    encoded = made.encode(request_of(*TEXTS))
    for i, text in enumerate(TEXTS):
        assert encoded.prompt(i) == ids_of(tokenizer(name), whole(made, text)), text
        assert encoded.prompt(i) == [*encoded.header, *encoded.suffixes[i]]


PLAIN = st.text(
    st.characters(codec="utf-8", exclude_characters="\U0010fffd\r\x85\u2028\u2029", exclude_categories=("Cc", "Cs", "Mn", "Zs", "Co")),
    max_size=30,
)


@pytest.mark.parametrize(("template", "name"), PAIRS)
@given(query=PLAIN.filter(str.strip), text=PLAIN)
def test_any_query_and_text_give_the_ids_of_the_whole_string(template, name, query, text):
    made = prompter(template, name)
    assert made.encode(request_of(text, query=query)).prompt(0) == ids_of(tokenizer(name), whole(made, text, query))


def test_qwen3_rerankers_prompt_is_the_published_one():
    """Prefix, pair and suffix as the model card tokenizes them."""
    made, real = prompter("qwen3-reranker", "qwen"), tokenizer("qwen")
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    for task in (None, "Given a claim, find what refutes it"):
        told = task or "Given a web search query, retrieve relevant passages that answer the query"
        encoded = made.encode(request_of(*TEXTS, instruction=task))
        for i, text in enumerate(TEXTS):
            pair = f"<Instruct>: {told}\n<Query>: {QUERY}\n<Document>: {text.strip()}"
            assert encoded.prompt(i) == ids_of(real, prefix) + ids_of(real, pair) + ids_of(real, suffix)
    assert [real.decode([index]) for index in made.ids] == ["yes", "no"]


def test_mxbai_reranks_prompt_is_the_published_one():
    """The package tokenizes its pieces one by one, so that no line break joins the text before it."""
    made, real = prompter("mxbai-rerank", "qwen"), tokenizer("qwen")
    prefix = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    task = (
        "You are a search relevance expert who evaluates how well documents match search queries. For each query-document pair, carefully "
        "analyze the semantic relationship between them, then provide your binary relevance judgment (0 for not relevant, 1 for relevant)."
        "\nRelevance:"
    )
    for instruction in (None, "prefer new ones."):
        query = f"query: {QUERY}" if instruction is None else f"instruction: {instruction}\nquery: {QUERY}"
        encoded = made.encode(request_of(*TEXTS, instruction=instruction))
        for i, text in enumerate(TEXTS):
            pieces = [prefix, query, "\n", f"document: {text.strip()}", "\n", task, "<|im_end|>\n<|im_start|>assistant\n"]
            assert encoded.prompt(i) == [index for piece in pieces for index in ids_of(real, piece)]
    assert [real.decode([index]) for index in made.ids] == ["1", "0"]


def test_bge_rerankers_prompt_is_the_published_one():
    """On Mistral's SentencePiece, for Gemma's is not to be had here; the beginning of the text is `<s>` there."""
    real = tokenizer("v3")
    shape = read_template("bge-reranker")
    made = PointPrompter(
        real, shape.model_copy(update={"prompt": shape.prompt.replace("<bos>", "<s>")}), Pointwise(yes="▁Yes"), context=8192
    )
    question = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a prediction of "
        "either 'Yes' or 'No'."
    )
    encoded = made.encode(request_of(*TEXTS))
    for i, text in enumerate(TEXTS):
        pieces = [f"A: {QUERY}", "\n", f"B: {text.strip()}", "\n", question]
        assert encoded.prompt(i) == [real.bos_token_id, *(index for piece in pieces for index in ids_of(real, piece))]


def test_a_mark_prompt_is_a_window_of_one_up_to_its_label():
    from firstrank.reranker.models.loaded import load_model

    made, window = prompter("compact-mark", "first-smollm2"), load_model("first-smollm2").prompter
    text = "Bees rest at night."
    prompt, marks = window.encode(request_of(text)).marked([0])
    assert made.encode(request_of(text)).prompt(0) == prompt[: marks[0] + 1]


def test_what_a_passage_or_a_query_spells_is_no_control_token():
    made, real = prompter("qwen3-reranker", "qwen"), tokenizer("qwen")
    added = set(real.added_tokens_decoder)
    harmless = made.encode(request_of("words")).prompt(0)
    told = made.encode(request_of("<|im_end|> <think>", query="<|im_start|>", instruction="</think>")).prompt(0)
    assert [index for index in told if index in added] == [index for index in harmless if index in added]


def test_passages_are_cut_by_tokens_and_by_the_context():
    made = prompter("sentencepiece", "v1")
    long = "bees make honey and wax " * 400
    cut = made.encode(request_of(long, "short", passage_tokens=12))
    assert [len(suffix) - len(made.tail) for suffix in cut.suffixes] == [12, 1]
    assert cut.suffixes[0][-len(made.tail) :] == tuple(made.tail)
    small = prompter("sentencepiece", "v1", context=256)
    assert [len(small.encode(request_of(long)).prompt(0))] == [255]  # and a token of the answer
    with pytest.raises(InputError, match="leaves no room for one; shorten the query"):
        small.encode(request_of("words", query="word " * 300))


def test_of_a_long_passage_the_query_s_part_is_shown_where_the_model_says_so():
    shape = SENTENCEPIECE.model_copy(update={"tokens": 12, "excerpt": "query"})
    chosen = PointPrompter(tokenizer("v1"), shape, Pointwise(yes="▁Yes"), context=4096)
    text = "Many things are known of towns and their walls. " * 3 + "Bees sleep five hours at night, inside the hive."
    shown = tokenizer("v1").decode(chosen.encode(request_of(text)).suffixes[0])
    assert "Bees sleep five hours" in shown


def test_an_instruction_without_a_place_is_refused():
    with pytest.raises(InputError, match=r"compact-mark.*has no place for one"):
        prompter("compact-mark", "first-smollm2").encode(request_of("words", instruction="prefer new ones"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": "{query}"}, r"prompt: \{text\} must occur once"),
        ({"prompt": "{text} {query}"}, r"\{text\} must come last"),
        ({"prompt": "{query} {text}", "instruction": "find it"}, r"the template has no \{instruction\}"),
        ({"prompt": "{instruction}{query} {text}", "instructed": "do it"}, r"instructed: \{instruction\} must occur once"),
    ],
)
def test_a_template_that_is_wrong_says_where(fields, problem):
    with pytest.raises(ValueError, match=problem):
        PointTemplate(**fields)


def test_tokens_and_templates_of_another_tokenizer_are_refused():
    real = tokenizer("first-smollm2")
    with pytest.raises(ModelError, match=r"pointwise\.yes: 'perhaps so' is not one token; the tokenizer makes \["):
        PointPrompter(real, read_template("compact-mark"), Pointwise(yes="perhaps so"), context=512)
    with pytest.raises(ModelError, match=r"pointwise\.no: 99999999 is not a token's id"):
        PointPrompter(real, read_template("compact-mark"), Pointwise(yes="[", no=99999999), context=512)
    with pytest.raises(ModelError, match=r"uses <\|im_end\|>, <\|im_start\|>, which this tokenizer does not know"):
        PointPrompter(tokenizer("v3"), read_template("qwen3-reranker"), Pointwise(yes="yes"), context=512)
