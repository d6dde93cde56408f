"""A template and a request's passages -> token ids of a window, exactly, within a budget.

Every part is encoded once a request and reused by every window; windows are put together from ids. Passages are data: nothing
in them becomes a control token or a label. Knows nothing of scores, strategies or networks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate
from typing import Any

from firstrank.reranker.errors import InputError, ModelError, ScorerError
from firstrank.reranker.prompt import labels
from firstrank.reranker.prompt.encoder import CONTROL, Data, Encoder, Ids, Piece, Trusted
from firstrank.reranker.prompt.excerpt import excerpts
from firstrank.reranker.prompt.orderings import Ordering, Parsed, after_thought, parse
from firstrank.reranker.prompt.places import filled, instruction_of
from firstrank.reranker.prompt.template import Template, in_chat
from firstrank.reranker.types import Answer, Passage, Reading, Request

_LEAST = 16
"""tokens of a passage below which a window is too full to rank"""
_LETTER = "a"
"""stands for the end of a text that was cut"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage: the ids before its label, and those after."""

    opening: Ids
    closing: Ids
    text_tokens: int
    is_part: bool = False


class Prompter:
    """Encodes requests for one model. Thread-safe.

    `window` is the number of passages that the length cap makes room for; a larger window has a smaller cap. `label_ids` None
    takes what `labels.letters` finds. Raises ModelError where the tokenizer cannot serve.
    """

    def __init__(
        self,
        tokenizer: Any,
        template: Template,
        *,
        context: int,
        window: int = 20,
        answer: Answer = "logits",
        label_ids: tuple[int, ...] | None = None,
        chat: Mapping[str, Any] | None = None,
        thinking: int = 0,
    ) -> None:
        self.thinking = thinking
        """tokens that the model may write before its ordering"""
        self.template, self.context, self.window, self.answer = template, context, window, answer
        self.encoder = Encoder(tokenizer)
        self.chat = in_chat(template, tokenizer, chat or {})
        self._before, self._between, self._after = template.literals
        self.identifiers, self._label_tokens = self._labels(tokenizer, label_ids)

    def encode(self, request: Request) -> EncodedRequest:
        """A request's parts as token ids. Raises InputError for a query that leaves no room for passages."""
        encoded = EncodedRequest(self, request, self._shown_of(request))
        if request.passages and encoded.max_window == 0:
            fixed = encoded.fixed(1)
            raise InputError(
                f"query {request.qid!r}: with it the prompt's frame has {fixed} tokens, and the model's context of {self.context} leaves "
                f"no room for a passage; shorten the query {request.query[:40]!r}…"
            )
        return encoded

    def most(self, request: Request) -> int | None:
        """Tokens after which a request's passages are cut, however much room there is."""
        return min(filter(None, (self.template.tokens, request.passage_tokens)), default=None)

    def label_tokens(self, place: int) -> Ids:
        """The ids that spell the label of the passage at `place` of a window; one, where the model answers by logits."""
        return self._label_tokens[place]

    def label_ids(self, n: int) -> tuple[int, ...]:
        """The token ids of the first n labels, in order, for a model that answers by logits."""
        return tuple(ids[0] for ids in self._label_tokens[:n])

    @cached_property
    def opening(self) -> int:
        """The token that opens an answer, at the end of every prompt: whoever expects a label next has its state there."""
        return self.frame(2, "")[1][-1]

    @cached_property
    def ordering(self) -> Ordering:
        """The language of complete answers, for models that generate them; where the template opens the answer, that is left out."""
        opening = [] if self.template.answer else self.encoder.encode(Piece((Trusted("["),), CONTROL))
        between = self.encoder.encode(Piece((Trusted(" > ["),), "]"))
        closing = self.encoder.encode(Piece((Trusted("]"),), f"[{self.identifiers[0]}"))
        first = [(*opening, *label, *closing) for label in self._label_tokens]
        return Ordering(tuple(first), tuple((*between, *label, *closing) for label in self._label_tokens))

    def reserve(self, n: int) -> int:
        """Tokens that the answer of a window of n may take."""
        return self.ordering.upto(n).longest + self.thinking if self.answer == "permutation" else 1

    def read_ordering(self, generated: str, n: int) -> Parsed:
        """The ordering in what a model wrote for a window of n, repaired.

        Raises ScorerError where a model that thinks aloud came to no end: nothing is guessed from its thoughts.
        """
        text = self.template.answer + generated
        if not self.thinking:
            return parse(text, self.identifiers[:n])
        parsed = parse(after_thought(text), self.identifiers[:n])
        if parsed.faults.missing == n:
            raise ScorerError(f"the model wrote no ordering after its thoughts; raise `thinking:`, which gives it {self.thinking} tokens")
        return parsed

    def frame(self, n: int, query: str, instruction: str = "") -> tuple[Ids, Ids]:
        """The ids before and after the passages of a window of n."""
        before, after = (filled(text.replace("{n}", str(n)), self.template, instruction, query) for text in self.chat)
        last, first = self._left_of_passage, self._before or _LETTER
        head, tail = self.encoder.batch([Piece(before, "", first), Piece(after, last, "")])
        return head, tail

    @cached_property
    def cut_closing(self) -> Ids:
        """What follows the text of a passage that was cut, up to its label or its end."""
        literal, right = (self._after, self._before or _LETTER) if self.template.label_first else (self._between, "")
        return self.encoder.encode(Piece((Trusted(literal),), _LETTER, right))

    def _shown_of(self, request: Request) -> list[Shown]:
        shown, most = self._shown(self._texts(request.passages)), self.most(request)
        for i, passage in enumerate(request.passages):
            if self.template.cuts(passage.title, passage.text):
                shown[i] = replace(shown[i], is_part=True)
        if self.template.excerpt == "start" or most is None:
            return shown
        long = [i for i, one in enumerate(shown) if one.text_tokens > most]
        if not long:
            return shown
        parts = excerpts(request.query, request.passages, most)
        for i, one in zip(long, self._shown(self._texts([parts[i] for i in long])), strict=True):
            shown[i] = replace(one, is_part=True)
        return shown

    def _texts(self, passages: Iterable[Passage]) -> list[str]:
        return [self.template.text_of(passage.title, passage.text) for passage in passages]

    def _shown(self, texts: list[str]) -> list[Shown]:
        """Passages with all of their text: the label is between `opening` and `closing`, the text is in one of them."""
        left, right = self._left_of_passage, self._before or _LETTER
        label_left = (self._before if self.template.label_first else self._between)[-1:] + self.identifiers[0]
        before, between, after = Trusted(self._before), Trusted(self._between), Trusted(self._after)
        if self.template.label_first:
            fixed = self.encoder.encode(Piece((before,), left))
            texted = self.encoder.batch([Piece((between, Data(text), after), label_left, right) for text in texts])
            lead = self.encoder.encode(Piece((Trusted(self._between.rstrip(" ")),), label_left, " a"))
        else:
            fixed = self.encoder.encode(Piece((after,), label_left, right))
            texted = self.encoder.batch([Piece((before, Data(text), between), left) for text in texts])
            lead = self.encoder.encode(Piece((before,), left, _LETTER))
        around = len(lead) + len(self.cut_closing)
        pairs = [(fixed, ids) if self.template.label_first else (ids, fixed) for ids in texted]
        return [Shown(*pair, max(0, len(ids) - around)) for pair, ids in zip(pairs, texted, strict=True)]

    @cached_property
    def _left_of_passage(self) -> str:
        return CONTROL if self.encoder.ends_in_control(self._after) else self._after[-1:]

    def _labels(self, tokenizer: Any, label_ids: tuple[int, ...] | None) -> tuple[list[str], list[Ids]]:
        if self.template.labels == "numbers":
            if self.answer == "logits":
                raise ModelError(f"template {self.template.name!r}: numbers are not single tokens; `answer: logits` needs letters")
            names = labels.numbers()
            left = (self._before if self.template.label_first else self._between)[-1:]
            right = (self._between if self.template.label_first else self._after)[:1]
            return names, self.encoder.batch([Piece((Trusted(name),), left, right) for name in names])
        found = labels.frozen(tokenizer, label_ids) if label_ids else labels.letters(tokenizer)
        if not found:
            raise ModelError("the tokenizer has no single-token letters to label passages with")
        return list(found), [[index] for index in found.values()]


class EncodedRequest:
    """One request's passages as token ids, and the windows made of them."""

    def __init__(self, prompter: Prompter, request: Request, shown: Sequence[Shown]) -> None:
        self._prompter, self._shown = prompter, shown
        self._most = prompter.most(request)
        instruction = instruction_of(prompter.template, request)
        self.frame = cache(lambda n: prompter.frame(n, request.query, instruction))
        self.cap = cache(self._cap)
        self.n = len(shown)
        sizes = sorted((one.text_tokens for one in shown), reverse=True)
        self._longest = sizes
        self._longest_sums = [0, *accumulate(sizes)]
        self.max_window = self._max_window()
        self._usual = self.cap(max(1, min(prompter.window, self.max_window, self.n))) if shown else 0
        self.lengths = tuple(len(one.opening) + 1 + len(one.closing) - max(0, one.text_tokens - self._usual) for one in shown)
        self.room = self._whole() if self.max_window else 0
        self.reading = Reading(self._usual, sum(one.is_part or one.text_tokens > self._usual for one in shown))

    def prompt(self, indices: Sequence[int]) -> Ids:
        """The token ids of a window that shows the candidates `indices` in that order; the model's answer comes next."""
        return self.marked(indices)[0]

    def asked(self, indices: Sequence[int]) -> tuple[Ids, tuple[int, ...]]:
        """What a model reads of a window: its prompt, whose last place is the answer's, and no marks; or, where the model answers by
        them, the prompt up to the last mark, and the marks."""
        ids, marks = self.marked(indices)
        return (ids[: marks[-1] + 1], tuple(marks)) if self._prompter.answer == "marks" else (ids, ())

    def header(self, n: int) -> Ids:
        """What a window of n begins with: the token ids before its first passage."""
        return self.frame(n)[0]

    def marked(self, indices: Sequence[int]) -> tuple[Ids, list[int]]:
        """A window's prompt, and where in it each passage has been read: at its label, or at its end where the label comes first."""
        n = len(indices)
        usual = n <= self._prompter.window or sum(self.lengths[i] for i in indices) <= self.room
        cap = self._usual if usual else self.cap(n)
        head, tail = self.frame(n)
        ids = list(head)
        marks = []
        for place, index in enumerate(indices):
            opening, closing = self._cut(self._shown[index], cap)
            ids += opening
            ids += self._prompter.label_tokens(place)
            labelled = len(ids)
            ids += closing
            marks.append((len(ids) if self._prompter.template.label_first else labelled) - 1)
        return ids + tail, marks

    def fixed(self, n: int) -> int:
        """The tokens of a window of n that are not its passages' text: frame, labels, and room for the answer."""
        head, tail = self.frame(n)
        label = max(len(self._prompter.label_tokens(place)) for place in (0, n - 1))
        literal = max(len(one.opening) + len(one.closing) - one.text_tokens for one in self._shown)
        return len(head) + len(tail) + n * (label + literal) + self._prompter.reserve(n)

    def _whole(self) -> int:
        """Tokens left for the `lengths` of a window's candidates, however many: what `--window auto` fills."""
        head, tail = self.frame(self.max_window)
        labels = sum(len(self._prompter.label_tokens(place)) - 1 for place in range(self.max_window))
        return self._prompter.context - len(head) - len(tail) - labels - self._prompter.reserve(self.max_window)

    def _max_window(self) -> int:
        """The largest window whose passages keep at least a few tokens each, be they all the longest."""
        most = min(self.n, len(self._prompter.identifiers))
        return bisect_right(range(1, most + 1), 0, key=lambda n: 0 if self._fits(n) else 1)

    def _fits(self, n: int) -> bool:
        return self._room(n) >= sum(min(size, _LEAST) for size in self._longest[:n])

    def _room(self, n: int) -> int:
        return self._prompter.context - self.fixed(n)

    def _cap(self, n: int) -> int:
        """Tokens at which each text is cut, so that the n longest fit: the most that leaves room, the same for all."""
        room, longest = self._room(n), self._longest[:n]
        most = self._most or max(longest, default=0)
        if self._longest_sums[min(n, self.n)] > room:
            most = min(most, bisect_right(range(1, max(longest) + 1), room, key=lambda cap: sum(min(size, cap) for size in longest)))
        return most

    def _cut(self, one: Shown, cap: int) -> tuple[Ids, Ids]:
        surplus = one.text_tokens - cap
        if surplus <= 0:
            return one.opening, one.closing
        trail = self._prompter.cut_closing
        whole = one.closing if self._prompter.template.label_first else one.opening
        kept = whole[: self._prompter.encoder.whole(whole, len(whole) - len(trail) - surplus)] + trail
        return (one.opening, kept) if self._prompter.template.label_first else (kept, one.closing)
