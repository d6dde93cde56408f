"""What flows through Firstrank: a Request goes in, a Ranking with its Trace comes out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple, overload

from firstrank.reranker.errors import InputError

Answer = Literal["logits", "permutation", "pointwise", "marks"]
"""how a model answers: label logits of a window, an ordering that it writes, one passage a prompt, or a mark at each passage of a window"""


class Backend(StrEnum):
    """What scores the windows."""

    transformers = "transformers"
    vllm = "vllm"
    openai = "openai"
    chat = "chat"
    decisions = "decisions"
    oracle = "oracle"


class WorkersOn(StrEnum):
    """Where a batch is ranked: in this process, or by workers on Ray."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True, slots=True)
class Passage:
    """One candidate. An empty text is legal: it ranks like any other."""

    docid: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] | None = field(default=None, compare=False)
    """whatever else the caller knows of it: never read here, and given back on the passage's result"""


@dataclass(frozen=True, slots=True)
class Request:
    """A query and its candidates in first-stage order (best first)."""

    query: str
    passages: tuple[Passage, ...]
    qid: str = ""
    passage_tokens: int | None = None
    """cuts each passage after so many tokens, if the model's template does not cut it earlier"""
    first_stage: tuple[float, ...] | None = None
    """the first stage's scores of the passages, where they are known"""
    instruction: str | None = None
    """what is searched for, and how to judge it: stands where the model's template has a place for it, in place of the template's own"""
    owner: str = ""
    """who asks: owners take turns, window by window, and so do the requests of one owner"""

    def __post_init__(self) -> None:
        """Raises InputError for what no prompt can hold, before a model works on it."""
        if not isinstance(self.query, str) or not isinstance(self.qid, str):
            raise InputError(f"a request's query and qid are strings, not {self.query!r} and {self.qid!r}")
        if isinstance(self.passages, list):
            object.__setattr__(self, "passages", tuple(self.passages))
        if not isinstance(self.passages, tuple):
            raise InputError(f"query {self.qid!r}: the passages are {type(self.passages).__name__}: give a tuple of Passages")
        for place, passage in enumerate(self.passages):
            if not isinstance(passage, Passage) or not all(isinstance(part, str) for part in (passage.docid, passage.text, passage.title)):
                raise InputError(f"query {self.qid!r}: passage {place} is no Passage of strings (docid, text, title), but {passage!r:.80}")


@dataclass(frozen=True, slots=True)
class Scores:
    """The answer to one window: `values[i]` belongs to the i-th index asked for, higher is better, fp32."""

    values: tuple[float, ...]
    prompt_tokens: int = 0
    generated_tokens: int = 0
    seconds: float = 0.0
    scorer: str = ""
    notes: tuple[str, ...] = ()
    batch: int = 1
    """windows that were scored together with this one, itself included"""
    label_mass: float | None = None
    """the labels' share of the probability of all tokens, where the engine tells it"""
    cost: float = 0.0
    """US dollars, of hosted models whose prices are known"""


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a request's passages a model reads."""

    tokens: int
    """at which a passage is cut, in a window of the usual size"""
    cut: int
    """passages of which only a part is read"""


UNBOUNDED = 1 << 62


class View(NamedTuple):
    """All that a strategy may know of a request."""

    n: int
    """candidates, in first-stage order"""
    lengths: Sequence[int]
    """their prompt tokens, for windows that fill a context"""
    max_window: int
    """labels and context allow no more"""
    seed: int
    room: int = UNBOUNDED
    """prompt tokens that the candidates of a window may take together, if none is to be cut short"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A strategy's last word: candidate indices, best first, each of `range(view.n)` once."""

    order: Sequence[int]
    certified: int
    """leading places that are right if the scorer is consistent"""
    notes: tuple[str, ...] = ()


Windows = Sequence[tuple[int, ...]]
"""candidate indices, a tuple a window; independent of each other, so they may run in parallel"""

Strategy = Callable[[View], Generator[Windows, list[Scores], Outcome]]
"""yields a batch of windows, is sent one Scores a window, returns an Outcome"""


@dataclass(frozen=True, slots=True)
class WindowTrace:
    """One window as it was asked."""

    round: int
    docids: tuple[str, ...]
    prompt_tokens: int
    seconds: float
    scorer: str
    notes: tuple[str, ...] = ()
    """of this window alone: what an answer needed mended, say"""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one request cost. `to_dict` is a line of `--trace FILE.jsonl`."""

    qid: str
    strategy: str
    rounds: int
    windows: tuple[WindowTrace, ...]
    prompt_tokens: int
    generated_tokens: int
    seconds: float
    certified: int
    notes: tuple[str, ...] = ()
    cost: float = 0.0
    """US dollars, of hosted models whose prices are known"""
    cut: int = 0
    """passages of which only a part is read"""
    cut_tokens: int | None = None
    """at so many tokens a passage is cut; None where no model says"""
    partial: bool = False
    """whether the time ran out, and this is the best order so far"""
    calibrated: bool = False
    """whether the results have probabilities"""
    nothing_relevant: float | None = None
    """the probability that no candidate is relevant, of calibrated models"""
    moved: int = 0
    """results whose probability was changed to fall with rank"""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Result:
    """One passage in its new place."""

    passage: Passage
    rank: int
    """from 1"""
    index: int
    """its place in the request, from 0"""
    score: float
    """sigmoid of `raw_score`, in (0, 1); 0.5 is an average candidate of its list"""
    raw_score: float
    """strictly decreasing with rank, in float32 too"""
    probability: float | None = None
    """that the passage is relevant, comparable between queries, and falling with rank; None where the model is not calibrated"""

    @property
    def docid(self) -> str:
        return self.passage.docid

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller gave with the passage: the mapping itself that a document was, or a Passage's metadata; else empty."""
        return {} if self.passage.metadata is None else self.passage.metadata


UNCALIBRATED = (
    "a cut by probability needs a calibrated model, and this one is not, as it runs here: its scores say nothing between queries; "
    "firstrank calibrate fits one to judged queries"
)


def check_probability(given: float) -> None:
    """Raises InputError for what is no probability."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
        raise InputError(f"probability {given!r}: give a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Ranking:
    """A request's results, best first."""

    qid: str
    query: str
    results: tuple[Result, ...]
    trace: Trace
    _by_docid: dict[str, Result] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_docid", {result.passage.docid: result for result in self.results})

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, rank_from_zero: int) -> Result: ...

    @overload
    def __getitem__(self, rank_from_zero: slice) -> tuple[Result, ...]: ...

    def __getitem__(self, rank_from_zero: int | slice) -> Result | tuple[Result, ...]:
        return self.results[rank_from_zero]

    def top_k(self, k: int) -> tuple[Result, ...]:
        return self.results[:k]

    def at_least(self, probability: float) -> Ranking:
        """The results with so much probability, or more; there may be none. InputError where the model is not calibrated."""
        check_probability(probability)
        if not self.trace.calibrated and self.results:
            raise InputError(UNCALIBRATED)
        return replace(self, results=tuple(one for one in self.results if one.probability is not None and one.probability >= probability))

    def score_of(self, docid: str) -> float:
        """The score of a passage; KeyError if it was not among the candidates."""
        return self._by_docid[docid].score


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that could not be ranked, and why."""

    request: Request
    error: Exception

    @property
    def qid(self) -> str:
        return self.request.qid
