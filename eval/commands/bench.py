"""`firstrank bench strategies` and `firstrank bench cascade`: options and their checks; the work is in the modules beside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from firstrank.reranker.errors import InputError

Run = Annotated[Path, typer.Option(help="A TREC run: the first stage's candidates.")]
Queries = Annotated[str, typer.Option(help="JSONL, TSV, a BEIR folder, or ir_datasets:ID.")]
Corpus = Annotated[str, typer.Option(help="A BEIR folder, corpus.jsonl[.gz], a .tsv, or ir_datasets:ID.")]
Qrels = Annotated[str, typer.Option(help="Judgments: they feed the oracle and measure the result.")]
Output = Annotated[Path, typer.Option(help="A folder for JSON and plots.")]
Depth = Annotated[int, typer.Option(help="Candidates of a query to rerank.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


def strategies(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    qrels: Qrels,
    output: Output,
    depth: Depth = 100,
    strategy: Annotated[list[str] | None, typer.Option(help="NAME[:key=value,…]; by default all of them.")] = None,
    noise: Annotated[list[float] | None, typer.Option(help="The oracle's standard deviation on the grade scale; 0 is perfect.")] = None,
    seeds: Annotated[int, typer.Option(help="Draws of the oracle's noise.")] = 20,
    model: Annotated[str | None, typer.Option(help="A model in place of the oracle: a name, a folder, or a Hugging Face id.")] = None,
    backend: Annotated[str, typer.Option(help="transformers or vllm: what runs the model.")] = "transformers",
    as_json: Json = False,
) -> None:
    """Windows, rounds, prompt tokens and nDCG@10 of each strategy, with an oracle or a model: table, JSON, plot."""
    from statistics import fmean

    from firstrank.eval.bench import strategies as work
    from firstrank.eval.bench.collection import read_collection
    from firstrank.reranker.strategies.register import parse_strategy

    _check_seeds(seeds)
    _check_noises(noise or ())
    if model is not None and noise:
        raise InputError("--noise is the oracle's, and --model takes its place: give one of them")
    names = strategy or list(work.STRATEGIES)
    for name in names:
        parse_strategy(name)
    collection = read_collection(run, queries, corpus, qrels, depth)
    facts: dict[str, Any] = {"run": str(run), "queries": len(collection.requests), "depth": depth}
    if model is None:
        rows = list(work.measure_oracle(collection, names, noise or [0.0], seeds))
    else:
        from firstrank.reranker.scorers.backends import open_scorer

        scorer, _ = open_scorer(model, backend)
        facts |= {"model": model, "backend": backend}
        try:
            rows = list(work.measure_model(collection, names, scorer))
        finally:
            scorer.close()
    work.report(rows, fmean(collection.first_stage()), facts, output, as_json=as_json)


def cascade(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    qrels: Qrels,
    fit_run: Annotated[Path, typer.Option(help="A labelled run that the learned rule is fitted on.")],
    fit_queries: Queries,
    fit_corpus: Corpus,
    fit_qrels: Qrels,
    output: Output,
    depth: Depth = 100,
    strategy: Annotated[str, typer.Option(help="NAME[:key=value,…].")] = "sliding",
    small: Annotated[float, typer.Option(help="The small oracle's noise.")] = 1.0,
    large: Annotated[float, typer.Option(help="The large oracle's noise.")] = 0.25,
    budget: Annotated[list[float] | None, typer.Option(help="Shares of a query's windows; by default 0, 0.1, … 1.")] = None,
    seeds: Annotated[int, typer.Option(help="Draws of the oracles' noise.")] = 10,
    save_rule: Annotated[Path | None, typer.Option(help="Where to keep the learned rule, for --defer-rule.")] = None,
    as_json: Json = False,
) -> None:
    """nDCG@10 against the share of windows deferred to the large scorer, for each rule of deferral and for a coin."""
    from firstrank.eval.bench import cascade as work
    from firstrank.eval.bench.collection import read_collection
    from firstrank.reranker.strategies.register import parse_strategy

    _check_seeds(seeds)
    _check_noises((small, large))
    parse_strategy(strategy)
    budgets = budget or [tenth / 10 for tenth in range(11)]
    if wrong := [one for one in budgets if not 0 <= one <= 1]:
        raise InputError(f"--budget {wrong[0]:g}: is a share of a query's windows, from 0 to 1")
    oracles = work.Oracles(small, large)
    labelled = read_collection(fit_run, fit_queries, fit_corpus, fit_qrels, depth)
    collection = read_collection(run, queries, corpus, qrels, depth)
    rule = work.fitted(labelled, oracles, strategy, seeds)
    if save_rule is not None:
        rule.save(save_rule)
    points = work.measure(collection, oracles, rule, strategy, budgets, seeds)
    facts = {
        "run": str(run),
        "fitted_on": str(fit_run),
        "strategy": strategy,
        "small": small,
        "large": large,
        "seeds": seeds,
        "depth": depth,
    }
    work.report(points, facts, output, as_json=as_json)


def _check_seeds(seeds: int) -> None:
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: must be at least 1")


def _check_noises(noises: list[float] | tuple[float, ...]) -> None:
    if wrong := [one for one in noises if not 0 <= one < float("inf")]:
        raise InputError(f"noise {wrong[0]:g}: a standard deviation is 0 or more")
