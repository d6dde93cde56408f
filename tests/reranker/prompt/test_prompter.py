"""Prompts: exactly what the tokenizer gives for the whole string, within a budget, whatever a passage spells."""

from __future__ import annotations

from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstrank.reranker.errors import InputError, ModelError
from firstrank.reranker.prompt.labels import frozen, letters
from firstrank.reranker.prompt.prompter import Prompter
from firstrank.reranker.prompt.template import Template, read_template
from firstrank.reranker.texts.sources import read_passages
from firstrank.reranker.types import Passage, Request
from tests.reranker.prompt.tokenizers import real_tokenizer

TEMPLATES = ["first", "first-rankllm", "permutation", "fullrank", "compact"]
UNCUT = {"words": None, "tokens": None}


@pytest.fixture(scope="module")
def tiny(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture
def real(request):
    """A real tokenizer by name."""
    return real_tokenizer(request.param)


def prompter(tokenizer, template, *, context=1_000_000, **changes):
    shape = read_template(template).model_copy(update=changes)
    return Prompter(tokenizer, shape, context=context, answer="permutation" if shape.labels == "numbers" else "logits")


@cache
def shipped(name, template):
    """Made once for many examples."""
    return prompter(real_tokenizer(name), template)


def request_of(*texts, query="who wrote Emma?"):
    return Request(query, tuple(Passage(str(i), text) for i, text in enumerate(texts)), "q")


def whole(tokenizer, prompter, request):
    """The same prompt as one string through the chat template, then through the tokenizer."""
    template = prompter.template
    shown = [
        template.passage.replace("{label}", label).replace("{text}", template.text_of(passage.title, passage.text))
        for label, passage in zip(prompter.identifiers, request.passages, strict=False)
    ]
    filled = [text.replace("{n}", str(len(shown))).replace("{query}", request.query) for text in (template.before, template.after)]
    user = filled[0] + "".join(shown) + filled[1]
    if "only user turns" in tokenizer.chat_template:
        turns = [{"role": "user", "content": template.system + template.system_joint + user}]
    else:
        turns = [{"role": "system", "content": template.system}, {"role": "user", "content": user}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + template.answer
    return tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize(
    ("name", "template", "count"),
    [(name, template, 1000) for name in ("first-smollm2", "v3") for template in ("first", "compact")]
    + [(name, template, 100) for name in ("first-smollm2", "v3") for template in ("first-rankllm", "permutation", "fullrank")]
    + [("v1", template, 100) for template in TEMPLATES],
)
def test_pieces_equal_the_whole_string_on_real_passages(name, template, count, data):
    tokenizer = real_tokenizer(name)
    passages = tuple(islice(read_passages(data / "nfcorpus"), count))
    made = prompter(tokenizer, template, **UNCUT)
    for start in range(0, count, 20):
        request = Request("does vitamin K help?", passages[start : start + 20])
        assert made.encode(request).prompt(range(20)) == whole(tokenizer, made, request)


def test_a_tokenizer_that_merges_bracket_and_letter_still_gets_the_frame():
    real = real_tokenizer("tekken")
    assert real.convert_ids_to_tokens(real("[A]", add_special_tokens=False).input_ids)[0] == "[A"
    made = shipped("tekken", "first")
    request = request_of("Bees make honey.", "Jane Austen wrote Emma.")
    tokens = real.convert_ids_to_tokens(made.encode(request).prompt([0, 1]))
    frames = [tokens[i : i + 3] for i, token in enumerate(tokens) if token == "["]
    assert ["[", "A", "]"] in frames
    assert ["[", "B", "]"] in frames
    assert tokens[-1] == "["


@pytest.mark.parametrize("template", ["first", "compact"])
@pytest.mark.parametrize("name", ["first-smollm2", "v1", "v3", "tekken"])
def test_labels_are_single_tokens_letters_first(name, template):
    """Windows of 2 … 100: each label stands in its own place, in brackets, once."""
    tokenizer, made = real_tokenizer(name), shipped(name, template)
    found = letters(tokenizer, 100)
    assert len(found) == len(set(found.values())) == 100
    assert "".join(found).startswith("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert frozen(tokenizer, tuple(found.values())) == found
    encoded = made.encode(request_of(*["7"] * 100))
    brackets = [tokenizer.convert_ids_to_tokens(index).lstrip("▁Ġ") for index in range(len(tokenizer))]
    for n in range(2, 101):
        ids = encoded.prompt(range(n))
        head, tail = encoded.frame(n)
        inside = [brackets[index] for index in ids[len(head) : len(ids) - len(tail)]]
        labels = [inside[i + 1] for i in range(len(inside) - 2) if inside[i] == "[" and inside[i + 2].startswith("]")]
        assert labels == [*found][:n]
        marks = encoded.marked(range(n))[1]
        assert [ids[mark] for mark in marks] == [*made.label_ids(n)] if template == "compact" else marks[-1] == len(ids) - len(tail) - 1
        assert made.label_ids(n) == tuple(found.values())[:n]
        assert n < 100 or len(ids) < made.context


def test_labels_of_another_tokenizer_are_refused(tiny):
    with pytest.raises(ModelError, match="another tokenizer"):
        frozen(tiny, (tiny.convert_tokens_to_ids(">"), tiny.convert_tokens_to_ids("A")))


CONTROL = st.sampled_from(
    ["<|im_end|>", "<|im_start|>system\n", "</s>", "[INST]", "<think>", "[B] > [A]", "[B]", "]", "[", "\n", "\ud800", "\U0010fffd"]
)
HOSTILE = st.lists(st.one_of(CONTROL, st.text(max_size=8)), max_size=8).map("".join)


@pytest.mark.parametrize("name", ["first-smollm2", "v3", "tekken"])
@pytest.mark.parametrize("template", ["first", "compact"])
@settings(max_examples=60)
@given(texts=st.lists(HOSTILE, min_size=1, max_size=5), query=HOSTILE)
def test_passages_are_data(name, template, texts, query):
    """No added id comes from data, and each label stands where it should, once."""
    made = shipped(name, template)
    clean, hostile = request_of(*["x"] * len(texts)), request_of(*texts, query=query)
    added = set(made.encoder._added.values())
    expected = [index for index in made.encode(clean).prompt(range(len(texts))) if index in added]
    encoded = made.encode(hostile)
    ids = encoded.prompt(range(len(texts)))
    assert [index for index in ids if index in added] == expected
    head, tail = encoded.frame(len(texts))
    inside = ids[len(head) : len(ids) - len(tail)]
    sizes = list(encoded.lengths)
    places = {}
    for place, size in enumerate(sizes):
        part, inside = inside[:size], inside[size:]
        label = made.label_ids(len(texts))[place]
        places[place] = part[-3:].index(label) if template == "compact" else part[:3].index(label)
    assert inside == []
    assert len(set(places.values())) == 1


def test_windows_share_what_was_encoded_and_follow_their_order(tiny):
    made = prompter(tiny, "compact")
    encoded = made.encode(request_of("one", "two", "three"))
    forward, backward = encoded.prompt([0, 1]), encoded.prompt([1, 0])
    assert sorted(forward) == sorted(backward)
    assert forward != backward
    assert len(forward) == sum(map(len, encoded.frame(2))) + encoded.lengths[0] + encoded.lengths[1]


@pytest.mark.parametrize("template", ["first", "compact"])
@settings(max_examples=40)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=30), context=st.integers(400, 3000))
def test_the_longest_window_fits_and_a_passage_reads_the_same_in_every_window(tiny, template, sizes, context):
    made = prompter(tiny, template, context=context, **UNCUT)
    request = request_of(*("b " * size for size in sizes))
    try:
        encoded = made.encode(request)
    except InputError:
        assert context < 1500
        return
    longest = sorted(range(len(sizes)), key=lambda i: -encoded.lengths[i])
    for n in {1, min(encoded.max_window, made.window), encoded.max_window}:
        assert len(encoded.prompt(longest[:n])) + 1 <= context
    if encoded.max_window >= 2:
        alone = encoded.prompt([0])[len(encoded.frame(1)[0]) :][: encoded.lengths[0]]
        paired = encoded.prompt([0, 0])[len(encoded.frame(2)[0]) :][: encoded.lengths[0]]
        assert alone == paired


def test_the_cap_uses_the_room_that_there_is(tiny):
    texts = ["b " * 200] * 20
    made = prompter(tiny, "compact", context=1500, **UNCUT)
    encoded = made.encode(request_of(*texts))
    assert max(encoded.lengths) < made.encode(request_of(texts[0])).lengths[0]
    assert 1500 - 20 < len(encoded.prompt(range(20))) + 1 <= 1500


@pytest.mark.parametrize(("fields", "long", "short"), [({"words": 3}, "b b b b b b", "b b b"), ({"tokens": 4}, "123456", "1234")])
def test_a_template_cuts_in_words_or_tokens(tiny, fields, long, short):
    """The tiny tokenizer makes a token of each digit."""
    made = prompter(tiny, "compact", **UNCUT | fields)
    cut, whole = made.encode(request_of(long)), made.encode(request_of(short))
    assert cut.prompt([0]) == whole.prompt([0])


SCRIPTS = {
    "zh": "蜜蜂把花蜜酿成蜂蜜。简·奥斯汀写了《爱玛》，𠮷野家开在北京。",
    "ja": "ジェーン・オースティンは『エマ』を書いた。蜂は蜜を作る。",
    "th": "ผึ้งทำน้ำผึ้งจากน้ำหวานของดอกไม้ กรุงเทพเป็นเมืองหลวงของประเทศไทย",
    "ko": "제인 오스틴은 엠마를 썼다. 벌은 꿀을 만든다.",
    "ar": "كتبت جين أوستن رواية إيما، والنحل يصنع العسل من رحيق الأزهار.",
    "he": "ג'יין אוסטן כתבה את אמה, והדבורים מייצרות דבש מצוף הפרחים.",
    "fa": "زنبورها از شهد گل‌ها عسل می‌سازند و جین آستن «اِما» را نوشت.",
    "hi": "जेन ऑस्टेन ने एम्मा लिखा। मधुमक्खियाँ शहद बनाती हैं।",
    "emoji": "🐝🍯👩‍👩‍👧‍👦 bees 🇹🇭 honey 🧑🏽‍🔬🐝",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", ["tiny", "v3"])
def test_a_cut_leaves_the_beginning_of_the_text_in_whole_characters(tiny, name, script):
    made = prompter(tiny, "compact", **UNCUT) if name == "tiny" else shipped(name, "compact")
    tokenizer = tiny if name == "tiny" else real_tokenizer(name)
    text, kept = SCRIPTS[script], set()
    for cap in range(3, 60):
        shown = tokenizer.decode(made.encode(Request("q", (Passage("a", text),), passage_tokens=cap)).prompt([0]))
        assert "\ufffd" not in shown
        part = shown.partition("Query: q\n")[2].partition("[A]")[0].strip()
        assert text.startswith(part)
        kept.add(part)
    assert len(kept) > 5


@pytest.mark.parametrize("script", ["zh", "th", "ko", "ar"])
def test_a_cap_in_words_holds_without_spaces_too(tiny, script):
    made = prompter(tiny, "compact", **UNCUT | {"words": 4})
    start = {"zh": "蜜蜂把花蜜酿成", "th": "ผึ้งทำน้ำผึ้งจาก", "ko": "제인 오스틴은 엠마를 썼다.", "ar": "كتبت جين أوستن رواية"}[script]
    assert made.template.text_of("", SCRIPTS[script]).startswith(start)
    assert len(made.template.text_of("", SCRIPTS[script])) <= len(start) + 3
    cut, whole = made.encode(request_of(SCRIPTS[script])), prompter(tiny, "compact", **UNCUT).encode(request_of(SCRIPTS[script]))
    assert cut.lengths[0] < whole.lengths[0]


def test_a_request_can_cut_its_passages_shorter(tiny):
    made = prompter(tiny, "compact")
    passages = request_of("b b b b b b").passages
    assert made.encode(Request("q", passages, passage_tokens=3)).lengths[0] < made.encode(Request("q", passages)).lengths[0]


def test_of_a_passage_that_is_too_long_the_part_that_is_asked_for_is_shown(tiny):
    """One that fits is shown whole, wherever the answer is in it; so is any where nothing says how much fits."""
    fits, long = "Bees hum. Emma b.", "Bees" + " hum and" * 20 + " hum. Jane wrote Emma. Bees hum."
    made = {tokens: prompter(tiny, "compact", excerpt="query", tokens=tokens) for tokens in (17, None)}

    def texts(tokens):
        encoded = made[tokens].encode(request_of(fits, long))
        return [tiny.decode(encoded.prompt([i])) for i in (0, 1)]

    cut, uncut = texts(17), texts(None)
    assert fits in cut[0]
    assert "\nJane wrote Emma." in cut[1]
    assert "hum" not in cut[1]
    assert (fits in uncut[0], long in uncut[1]) == (True, True)


def test_a_query_longer_than_the_context_is_an_error_that_counts(tiny):
    made = prompter(tiny, "compact", context=128)
    with pytest.raises(InputError, match=r"query 'q': .* leaves no room"):
        made.encode(request_of("text", query="why " * 500))


def test_so_it_is_for_a_model_that_writes(tiny):
    with pytest.raises(InputError, match=r"query 'q': .* leaves no room"):
        prompter(tiny, "permutation", context=400).encode(request_of("text", query="why " * 500))


def test_an_empty_passage_and_no_passage(tiny):
    made = prompter(tiny, "first")
    assert made.encode(request_of("")).lengths[0] > 0
    assert made.encode(Request("q", ())).lengths == ()


def test_titles_are_joined(tiny):
    assert read_template("first").text_of(" A title ", " text\n") == "A title. text"
    assert read_template("first-rankllm").text_of("A title", "text") == "Title: A title Content: text"
    assert read_template("first").text_of("", "text") == "text"


def test_the_exact_words_of_first(tiny):
    template = read_template("first")
    assert template.before.startswith("I will provide you with {n} passages, each indicated by a alphabetical identifier [].")
    assert template.before.endswith("search query: {query}.\n\n")
    assert read_template("first-rankllm").before.endswith("search query: {query}.\n")
    assert template.answer == "["


def test_a_generating_model_is_given_room_for_its_answer(tiny):
    made = prompter(tiny, "permutation")
    assert made.reserve(3) == made.ordering.upto(3).longest > made.reserve(2)
    text = tiny.decode([*made.ordering.first[1], *made.ordering.later[11]])
    assert text == "[2] > [12]"


def test_where_the_template_opens_the_answer_the_ordering_goes_on_from_there(tiny):
    made = Prompter(tiny, read_template("compact"), context=4096, answer="permutation")
    assert tiny.decode([*made.ordering.first[1], *made.ordering.later[0]]) == "B] > [A]"


@pytest.mark.parametrize(
    ("passage", "problem"),
    [("[{label}]", "{text} must occur once"), ("{label}{text}.", "something must stand between"), ("[{label}] {text}", "at its end")],
)
def test_a_template_that_cannot_work_is_refused(passage, problem):
    with pytest.raises(ValueError, match="passage: ") as refused:
        Template(before="", passage=passage, after="")
    assert problem in str(refused.value)


def test_an_unknown_template_lists_the_known():
    with pytest.raises(InputError, match="there are bge-reranker, chat, compact, compact-mark, decision, first"):
        read_template("nonesuch")
