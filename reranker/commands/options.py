"""The options that several commands share, each spelled here and nowhere else.

A command that ranks has a parameter `settings: SetupSettings`, one whose model writes has `writer: SetupSettings`, one that may hand work
to workers has `placement: Placement`; `expanded` puts the options that say them in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Backend, WorkersOn

if TYPE_CHECKING:
    from firstrank.reranker.batch.placement import Placement
    from firstrank.reranker.setup import SetupSettings

INPUT, MODEL, WINDOWS, FEEDBACK = "Input", "Model", "Windows", "Relevance feedback"
ERRORS, WORKERS, OUTPUT = "Faults", "Workers", "Output"


def option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


Run = Annotated[Path, option(INPUT, "A TREC run with the first stage's candidates.")]
Queries = Annotated[str, option(INPUT, "JSONL, TSV, a BEIR folder, or ir_datasets:ID.")]
Corpus = Annotated[str, option(INPUT, "A BEIR folder, corpus.jsonl[.gz], a .tsv, ir_datasets:ID, or lucene:DIR.")]
Depth = Annotated[int, option(INPUT, "Candidates per query.")]
DropSelf = Annotated[bool, option(INPUT, "Leave out a candidate whose docid is the qid, as ArguAna needs.", "--drop-self")]
Limit = Annotated[int | None, option(INPUT, "Take the first N queries only, for measures too.")]
Tag = Annotated[str, option(OUTPUT, "The system's name, in the last column of the run.")]
AsJson = Annotated[bool, option(OUTPUT, "Print JSON.", "--json")]


class Group(NamedTuple):
    """Options that together say one value."""

    options: Mapping[str, Any]
    """name -> Annotated type; all of them may be left out"""
    value: Callable[[dict[str, Any]], Any]
    """what was given (the names that were left out are absent) -> the value"""


_SETTINGS: dict[str, Any] = {
    "backend": Annotated[Backend | None, option(MODEL, "What scores the windows; by default transformers.")],
    "base_url": Annotated[list[str] | None, option(MODEL, "openai, chat, decisions: a server's address; give several to share the load.")],
    "engine_arg": Annotated[
        list[str] | None, option(MODEL, "vllm and servers: a setting of the engine, KEY=VALUE; may be given several times.")
    ],
    "max_cost": Annotated[
        float | None, option(MODEL, "chat: the most that all windows may cost, in US dollars; the model's YAML has the prices.")
    ],
    "device": Annotated[str | None, option(MODEL, "auto, cpu, cuda or mps.")],
    "dtype": Annotated[
        str | None, option(MODEL, "float32, bfloat16, float16 or int8 (CPUs) or fp8 (GPUs); by default the fastest safe one here.")
    ],
    "threads": Annotated[int | None, option(MODEL, "CPU threads. The same number gives the same results, bit for bit.")],
    "lanes": Annotated[
        int | None,
        option(MODEL, "CPU: how many windows run at once and share the threads. More windows per second, but each takes longer."),
    ],
    "instruction": Annotated[str | None, option(MODEL, "What to search for, for models whose prompt has a place for it.")],
    "calibration": Annotated[
        str | None, option(MODEL, "Probabilities: a file of firstrank calibrate, or none; by default the model's own.")
    ],
    "revision": Annotated[str | None, option(MODEL, "The model's revision on the Hugging Face hub.")],
    "noise": Annotated[float | None, option(MODEL, "oracle: standard deviation of the noise that is added to the grades; by default 0.")],
    "prior": Annotated[
        str | None,
        option(
            MODEL,
            "Cheap scorers that read all candidates first: dense:minilm=0.5,sparse:splade-tiny=0.5, or none. By default the model's.",
        ),
    ],
    "prior_depth": Annotated[
        int | None, option(MODEL, "How many candidates the model reads, the prior's best first; 0 for no model. By default the model's.")
    ],
    "fuse": Annotated[float | None, option(MODEL, "The prior's weight in the final score; by default the model's.")],
    "cascade": Annotated[str | None, option(MODEL, "A larger model that scores the windows where --model is unsure.")],
    "defer_budget": Annotated[
        float | None, option(MODEL, "The largest share of a query's windows that the larger model may score; by default 0.3.")
    ],
    "defer_rule": Annotated[
        str | None, option(MODEL, "How to measure doubt: entropy (the default), margin, or the file of a learned rule.")
    ],
    "strategy": Annotated[
        str | None,
        option(WINDOWS, "NAME[:key=value,…]: sliding, full, topdown, tournament, blitz, consistent, pointwise; by default the model's."),
    ],
    "window": Annotated[str | None, option(WINDOWS, "Passages per window, or auto; by default the model's.")],
    "stride": Annotated[int | None, option(WINDOWS, "How many places the window moves each time; by default the model's.")],
    "passes": Annotated[int | None, option(WINDOWS, "How many times the strategy goes over the list.")],
    "top_k": Annotated[int | None, option(WINDOWS, "Guarantee the order of the best N only; may need fewer windows.")],
    "seed": Annotated[int | None, option(WINDOWS, "The random seed, for strategies and oracles that draw; by default 0.")],
}
_WRITER: dict[str, Any] = {
    "backend": Annotated[Backend | None, option(MODEL, "What runs the model that writes: transformers (the default) or chat.")],
    "max_cost": Annotated[
        float | None, option(MODEL, "chat: the most that all queries may cost, in US dollars; the model's YAML has the prices.")
    ],
    **{name: _SETTINGS[name] for name in ("base_url", "engine_arg", "device", "dtype", "threads", "revision")},
}
_PLACEMENT: dict[str, Any] = {
    "workers_on": Annotated[WorkersOn | None, option(WORKERS, "local: rank in this process (the default); ray: in many workers.")],
    "address": Annotated[str | None, option(WORKERS, "ray: the cluster's address, or auto; by default a cluster on this machine.")],
    "workers": Annotated[int | None, option(WORKERS, "ray: how many workers; by default as many as the cluster's GPUs, or cores, allow.")],
    "gpus_per_worker": Annotated[float | None, option(WORKERS, "ray: GPUs per worker; by default 1 where there are GPUs.")],
}


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of `settings`, `writer` and `placement` in the place of these parameters.

    An option that the command has itself is left as it is there, and belongs to the command.
    """
    hints = get_type_hints(command, localns={"SetupSettings": dict, "Placement": object}, include_extras=True)
    own = signature(command).parameters
    groups = {name: _without(_GROUPS[name], own) for name in own if name in _GROUPS}
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for parameter in own.values()
        for name, default, annotation in _expanded(parameter, groups, hints)
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        values = {name: group.value(_taken(given, group.options)) for name, group in groups.items()}
        command(**given, **values)

    vars(run)["__signature__"] = Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def tag_of(text: str) -> str:
    """Raises InputError for what is not one word."""
    if not text or text.split() != [text]:
        raise InputError(f"--tag {text!r}: must be one word, because spaces separate the columns of a run")
    return text


def window_of(text: str) -> int | str:
    """Raises InputError for what is neither `auto` nor a number from 1."""
    if text == "auto":
        return text
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(f"--window {text}: give a number of passages from 1, or auto")
    return int(text)


def _expanded(parameter: Parameter, groups: Mapping[str, Group], hints: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    if parameter.name in groups:
        return [(name, None, annotation) for name, annotation in groups[parameter.name].options.items()]
    return [(parameter.name, parameter.default, hints[parameter.name])]


def _without(group: Group, names: Collection[str]) -> Group:
    return group._replace(options={name: annotation for name, annotation in group.options.items() if name not in names})


def _taken(given: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """What was given of these options; it leaves `given`."""
    found = {name: given.pop(name) for name in [*names]}
    return {name: value for name, value in found.items() if value is not None and value != []}


def _settings(given: dict[str, Any]) -> SetupSettings:
    from firstrank.reranker.setup import read_settings

    if "window" in given:
        given["window"] = window_of(given["window"])
    return read_settings(given)


def _placement(given: dict[str, Any]) -> Placement:
    from firstrank.reranker.batch.placement import Placement

    return Placement(**given)


_GROUPS = {"settings": Group(_SETTINGS, _settings), "writer": Group(_WRITER, _settings), "placement": Group(_PLACEMENT, _placement)}
