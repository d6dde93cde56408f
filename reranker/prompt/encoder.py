"""Text -> token ids, exactly as the tokenizer would encode the whole string, though it comes in pieces and some of it is data.

A prompt is literals, which may hold control tokens (`<|im_start|>`), and data, which never does: a passage that spells one is
encoded as the letters it is made of. Data goes through a copy of the tokenizer that knows no added token at all. Each piece is
encoded between the text that stands left and right of it, so that merges and dummy prefixes at the seams come out as they would
in the whole.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from firstrank.reranker.errors import ModelError

CONTROL = "\U0010fffd"
"""stands for any control token, where a piece's left neighbour is one"""

Ids = list[int]

_BYTES = 4
"""the most that a character has in UTF-8"""


class Trusted(str):
    """Text of a template: added tokens in it are meant."""


class Data(str):
    """Text of a query or a passage: added tokens in it are letters."""


Text = Trusted | Data


class Piece(NamedTuple):
    """Text to encode, and the text that stands left and right of it in the prompt."""

    parts: tuple[Text, ...]
    left: str = ""
    right: str = ""


class Encoder:
    """A fast tokenizer's two faces: one that reads control tokens in literals, and one that knows none. Thread-safe."""

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(f"{type(tokenizer).__name__}: exact prompts need a fast tokenizer (a tokenizer.json in the model's folder)")
        added = {str(token): index for index, token in tokenizer.added_tokens_decoder.items()}
        self._added = added
        self._pattern = _added_pattern(tokenizer.added_tokens_decoder.values())
        self._plain = _without_added_tokens(backend, added)

    def encode(self, piece: Piece) -> Ids:
        return self.batch([piece])[0]

    def batch(self, pieces: Sequence[Piece]) -> list[Ids]:
        """The ids of each piece, its neighbours not included."""
        jobs: list[Ids | tuple[str, int, int]] = []
        ends = []
        for piece in pieces:
            jobs += self._jobs(piece)
            ends.append(len(jobs))
        texts = [job[0] for job in jobs if isinstance(job, tuple)]
        encodings = iter(self._plain.encode_batch(texts, add_special_tokens=False))
        done = [_inside(next(encodings), job[1], job[2]) if isinstance(job, tuple) else job for job in jobs]
        starts = [0, *ends][:-1]
        return [[index for part in done[start:end] for index in part] for start, end in zip(starts, ends, strict=True)]

    def whole(self, ids: Ids, end: int) -> int:
        """How many of the first `end` ids to keep, so that the last character is whole: its bytes may be several tokens."""
        for place in range(end, max(-1, end - _BYTES), -1):
            if not self._plain.decode(ids[max(0, place - _BYTES) : place]).endswith("\ufffd"):
                return place
        return end

    def _jobs(self, piece: Piece) -> Iterable[Ids | tuple[str, int, int]]:
        """Control tokens as their ids; runs of text as (text with neighbours, where the run starts, where it ends)."""
        runs = self._runs(piece.parts)
        for i, run in enumerate(runs):
            if isinstance(run, int):
                yield [run]
                continue
            left = CONTROL if i else piece.left
            right = "" if i < len(runs) - 1 else piece.right
            yield left + run + right, len(left), len(left) + len(run)

    def _runs(self, parts: Sequence[Text]) -> list[int | str]:
        """Literals split at their added tokens, and all text between two of them joined."""
        runs: list[int | str] = []
        for part in parts:
            found = [_clean(part)] if isinstance(part, Data) or self._pattern is None else self._split(part)
            for run in found:
                if isinstance(run, str) and runs and isinstance(last := runs[-1], str):
                    runs[-1] = last + run
                elif run != "":
                    runs.append(run)
        return runs

    def _split(self, literal: str) -> list[int | str]:
        assert self._pattern is not None
        runs: list[int | str] = []
        start = 0
        for match in self._pattern.finditer(literal):
            runs += [literal[start : match.start()], self._added[match.group().strip() or match.group()]]
            start = match.end()
        return [*runs, literal[start:]]

    def ends_in_control(self, literal: str) -> bool:
        runs = self._runs([Trusted(literal)])
        return bool(runs) and isinstance(runs[-1], int)


def in_whole_characters(text: str) -> str:
    """What no tokenizer can take, half a surrogate pair, becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean(text: str) -> str:
    """The same, and without our own mark."""
    return in_whole_characters(text.replace(CONTROL, "\ufffd"))


def _inside(encoding: Any, start: int, end: int) -> Ids:
    """The ids of the tokens that begin within [start, end) of the text."""
    begins = [begin for begin, _ in encoding.offsets]
    ids: Ids = encoding.ids
    return ids[bisect_left(begins, start) if start else 0 : bisect_left(begins, end)]


def _added_pattern(tokens: Iterable[Any]) -> re.Pattern[str] | None:
    """Any added token, the longest first, with the white space that it takes along."""
    spelled = [
        (r"\s*" if token.lstrip else "") + re.escape(token.content) + (r"\s*" if token.rstrip else "")
        for token in sorted(tokens, key=lambda token: -len(token.content))
        if token.content
    ]
    return re.compile("|".join(spelled)) if spelled else None


def _without_added_tokens(backend: Any, added: dict[str, int]) -> Any:
    """A copy of a `tokenizers.Tokenizer` that cannot produce an added token's id, and knows only our own mark."""
    from tokenizers import AddedToken, Tokenizer

    state = json.loads(backend.to_str())
    state |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    model = state["model"]
    vocabulary, hidden = model["vocab"], set(added) - {model.get("unk_token")}
    if isinstance(vocabulary, dict):
        model["vocab"] = {_renamed(token, hidden): index for token, index in vocabulary.items()}
        model["merges"] = [pair for pair in model.get("merges", []) if _survives(pair, hidden)]
    else:
        model["vocab"] = [[_renamed(token, hidden), score] for token, score in vocabulary]
    plain = Tokenizer.from_str(json.dumps(state))
    plain.add_special_tokens([AddedToken(CONTROL, normalized=False, special=True)])
    return plain


def _renamed(token: str, hidden: set[str]) -> str:
    """A hidden token keeps its id under a name that no text spells."""
    return f"{CONTROL}{token}" if token in hidden else token


def _survives(pair: Any, hidden: set[str]) -> bool:
    left, right = pair if isinstance(pair, list) else pair.split(" ")
    return not {left, right, left + right} & hidden
