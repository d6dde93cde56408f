"""What goes with what: one table for every command, and for `Setup.of`, read before anything is loaded.

An option that would have no effect beside the others is refused by a row of EFFECTS, a number out of its range by a row of RANGES. A row
names options as Python does (`defer_budget`); a command line's messages spell them as flags (`--defer-budget`). `--seed` has no row: where
nothing draws, any seed gives what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from firstrank.reranker.errors import InputError
from firstrank.reranker.scorers.backends import backends_with
from firstrank.reranker.strategies.register import said_in
from firstrank.reranker.types import Backend

Given = Mapping[str, Any]
"""option -> value, of those that were given; none that was left out"""
Spelled = Callable[[str], str]

SCHEDULE = ("strategy", "window", "stride", "passes", "top_k")
CASCADE = ("cascade", "defer_budget", "defer_rule")
PRIOR = ("prior", "prior_depth", "fuse")
LOCAL = ("device", "dtype", "threads", "lanes", "batch_tokens", "constrained")
PLACEMENT = ("workers_on", "address", "workers", "gpus_per_worker")
WRITER = ("backend", "base_url", "engine_arg", "max_cost", "device", "dtype", "threads", "revision")
"""of a model that writes queries"""
SETTINGS = (
    "backend", "base_url", "engine_arg", "revision", "instruction", "calibration", "noise", "max_cost",
    *LOCAL, *PRIOR, *CASCADE, *SCHEDULE,
)  # fmt: skip
"""how a model reranks"""


@dataclass(frozen=True, slots=True)
class Effect:
    """Options that do something only `where` the others allow it; `only` says where, with {names} to be spelled."""

    options: tuple[str, ...]
    where: Callable[[Given], bool]
    only: str
    commands: tuple[str, ...] = ()
    """those that the row is for; all unless said"""
    but: tuple[str, ...] = ()
    """those that give the option another meaning"""

    def applies(self, command: str) -> bool:
        return command not in self.but and (not self.commands or command in self.commands)


def with_(option: str) -> Callable[[Given], bool]:
    return lambda given: bool(given.get(option))


def either(*options: str) -> Callable[[Given], bool]:
    return lambda given: any(given.get(option) for option in options)


def without(*options: str) -> Callable[[Given], bool]:
    return lambda given: not any(given.get(option) for option in options)


def among(option: str, *values: str, default: str = "") -> Callable[[Given], bool]:
    """Whether the option's value begins with one of these; `default` is what it is unless said."""
    return lambda given: str(given.get(option, default)).startswith(values)


def _of_backend(setting: str, *spellings: str, but: tuple[str, ...] = ()) -> Effect:
    takers = backends_with(setting)
    return Effect(
        (setting, *spellings),
        lambda given: given.get("backend", Backend.transformers) in takers,
        f"only with {{backend}} {' or '.join(takers)}",
        but=but,
    )


def _reads(given: Given) -> bool:
    return given.get("prior_depth") != 0


EFFECTS = (
    Effect(SETTINGS + PLACEMENT + ("depth",), with_("rerank"), "only with {rerank} MODEL", ("eval",)),
    Effect(("noise",), without("model"), "only the oracle has noise, and {model} takes its place: give one of them", ("bench strategies",)),
    Effect(("seeds",), without("model"), "only the oracle draws noise, and {model} takes its place", ("bench strategies",)),
    Effect(
        tuple(name for name in SETTINGS if name not in ("noise", "strategy")),
        lambda given: bool(given.get("model")) and given.get("backend") != Backend.oracle,
        "only with {model}",
        ("bench strategies",),
    ),
    Effect(("small", "large", "seeds"), without("model"), "only oracles have this, and {model} takes their place", ("bench cascade",)),
    Effect(("model",), with_("cascade"), "names the small model: name the large one with {cascade}", ("bench cascade",)),
    Effect(
        ("defer_budget", "defer_rule"),
        lambda given: False,
        "this command measures every rule at each {budget}: leave it out",
        ("bench cascade",),
    ),
    Effect(tuple(name for name in SETTINGS if name != "strategy"), with_("model"), "only with {model}", ("bench cascade",)),
    Effect(
        ("model",),
        lambda given: given.get("backend") != Backend.oracle,
        "{backend} oracle scores by judgments and reads no model: leave one of them out",
    ),
    Effect(
        ("revision", "instruction", "calibration"), lambda given: given.get("backend") != Backend.oracle, "{backend} oracle reads no model"
    ),
    Effect(
        CASCADE,
        lambda given: given.get("backend") != Backend.oracle,
        "the windows go to a larger model, and {backend} oracle has none: try `firstrank bench cascade`",
    ),
    Effect(
        ("revision",),
        lambda given: given.get("backend") not in (Backend.chat, Backend.decisions),
        "the host decides which revision it serves: leave this out",
    ),
    Effect(("defer_budget", "defer_rule"), with_("cascade"), "only with {cascade}"),
    *map(_of_backend, LOCAL),
    _of_backend("noise", but=("bench strategies",)),
    _of_backend("base_urls", "base_url"),
    _of_backend("max_cost"),
    _of_backend("engine", "engine_arg"),
    Effect(("prefix_cache",), among("backend", "vllm"), "only with {backend} vllm"),
    Effect((*SCHEDULE, *CASCADE, "instruction"), _reads, "with {prior_depth} 0 no model reads anything"),
    Effect(("fuse",), _reads, "with {prior_depth} 0 the prior's order is the whole order"),
    Effect(
        (*SCHEDULE, *PRIOR, *CASCADE, "seed", "noise"),
        lambda given: False,
        "the check asks one model about single windows, without strategy, prior or cascade",
        ("models check",),
    ),
    Effect(
        (*SCHEDULE, *CASCADE, "calibration", "fuse", "seed", "noise"),
        lambda given: False,
        "a passage is judged by itself here: no window, order, draw or second model has a say",
        ("calibrate",),
    ),
    Effect(("vectors", "encoder"), with_("feedback"), "only with {feedback}", ("rerank",)),
    Effect(("feedback",), without("requests"), "searches --corpus again: give {run} or nothing, not {requests}", ("rerank",)),
    Effect(("min_probability",), without("feedback"), "{feedback} needs whole lists", ("rerank",)),
    Effect(("no_tail",), without("min_probability"), "{min_probability} leaves the tail out already", ("rerank",)),
    Effect(("missing",), without("requests"), "{requests} holds every text, so none can be missing", ("rerank",)),
    Effect(("address", "workers", "gpus_per_worker"), among("workers_on", "ray"), "only with {workers_on} ray"),
    Effect(
        ("language",),
        among("retriever", "bm25", "rm3", "hybrid", default="bm25"),
        "only with {retriever} bm25, rm3 or hybrid:MODEL",
        ("retrieve",),
    ),
    Effect(("save_vectors",), among("retriever", "dense:", "hybrid:"), "only with {retriever} dense:MODEL or hybrid:MODEL", ("retrieve",)),
    Effect(
        ("corpus",),
        lambda given: not str(given.get("retriever", "")).startswith("pyserini:"),
        "{retriever} pyserini:INDEX holds the texts itself",
        ("retrieve",),
    ),
    Effect(("steps", "rate"), among("objective", "kl", "ranknet", default="kl"), "only with {objective} kl or ranknet", ("feedback",)),
    Effect(
        ("rate_limit", "document_rate_limit", "token_rate_limit"),
        either("api_keys", "api_keys_file"),
        "each key has its own count: only with {api_keys} or {api_keys_file}",
        ("serve",),
    ),
    Effect(("split", "run"), with_("dataset"), "only with {dataset}", ("bench latency",)),
    Effect(("clients", "requests", "depth"), with_("server"), "only with {server}", ("bench throughput",)),
    Effect(("windows", "passages"), without("server"), "not with {server}: give {depth} in their place", ("bench throughput",)),
    Effect(("passes",), with_("complete"), "only with {complete}", ("data build teacher",)),
    Effect(
        ("model", *WRITER, "prompt", "words", "round_trip", "likeliest"),
        among("kind", "questions"),
        "only with {kind} questions",
        ("data invent",),
    ),
    Effect(
        ("dataset",),
        without("qrels", "queries", "corpus"),
        "a dataset holds queries, judgments and texts: leave out {qrels}, {queries}, {corpus}",
        ("eval",),
    ),
    Effect(("split",), with_("dataset"), "only with {dataset}", ("eval",)),
    Effect(("queries", "corpus"), with_("qrels"), "only with {qrels}", ("eval",)),
    Effect(("relevant_from",), without("measure"), "{measure} states the grade itself, for example RR(rel=2)@10", ("eval",)),
    Effect(("no_texts",), either("dataset", "corpus"), "without a corpus there are no texts to leave out", ("eval",)),
)

RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("depth", "candidates", "stride", "passes", "top_k", "threads", "lanes", "workers", "limit", "steps", "relevant_from"),
        (1, math.inf),
    ),
    **dict.fromkeys(("words", "likeliest"), (1, math.inf)),
    **dict.fromkeys(("seeds", "repeats", "clients", "requests", "windows", "passages", "queries", "concurrency", "count"), (1, math.inf)),
    **dict.fromkeys(
        ("seed", "feedback", "prior_depth", "warmup", "noise", "small", "large", "fuse", "gpus_per_worker", "max_cost", "round_trip"),
        (0, math.inf),
    ),
    **dict.fromkeys(("defer_budget", "budget", "min_probability"), (0, 1)),
}
"""option -> the least and the most that it may be"""


def check(given: Given, spelled: Spelled = str, command: str = "") -> None:
    """Raises InputError for the first option that has no effect beside the others, or is out of its range. Loads nothing."""
    for name, value in given.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            _check_range(spelled(name), one, *RANGES.get(name, (-math.inf, math.inf)))
    for row in EFFECTS:
        odd = [name for name in row.options if name in given]
        if odd and row.applies(command) and not row.where(given):
            raise InputError(f"{', '.join(map(spelled, odd))}: {row.only.format_map(_Names(spelled))}")
    if command not in ("bench strategies", "data build teacher"):
        for problem in _of_strategy(given, spelled):
            raise InputError(problem)


def _check_range(name: str, value: Any, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if most < math.inf and not least <= value <= most:
        raise InputError(f"{name} {value:g}: must be between {least:g} and {most:g}")
    if not (least <= value and (value < math.inf or isinstance(value, int))) and least > -math.inf:
        raise InputError(f"{name} {value:g}: must be at least {least:g}" if math.isfinite(value) else f"{name} {value:g}: must be a number")


def _of_strategy(given: Given, spelled: Spelled) -> Iterator[str]:
    """What is said beside a strategy that has no such number, or that says it itself."""
    strategy = given.get("strategy")
    if not isinstance(strategy, str):
        return
    known, said = said_in(strategy)
    for name in ("window", "stride", "passes", "top_k"):
        if name in given and name not in known:
            yield f"{spelled(name)}: the strategy {strategy!r} has no such setting; it has {', '.join(sorted(known)) or 'none'}"
        if name in given and name in said:
            yield f"{spelled(name)}: {spelled('strategy')} {strategy} sets it already: set it once"


class _Names(dict[str, str]):
    def __init__(self, spelled: Spelled) -> None:
        self._spelled = spelled

    def __missing__(self, name: str) -> str:
        return self._spelled(name)
