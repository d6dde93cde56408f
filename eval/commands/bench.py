"""`firstrank bench`: what ranking costs. Compare figures within one run only: machines differ."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstrank.reranker.commands.console import print_json, print_table
from firstrank.reranker.commands.options import INPUT, MODEL, OUTPUT, AsJson, Corpus, Depth, Queries, Run, expanded, option

if TYPE_CHECKING:
    from rich.table import Table

    from firstrank.eval.bench.cascade import RuleFigures
    from firstrank.eval.bench.server import ServiceFigures
    from firstrank.eval.bench.strategies import StrategyFigures
    from firstrank.eval.bench.throughput import Throughput
    from firstrank.reranker.setup import SetupSettings

LOAD = "Load"

Model = Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")]
Qrels = Annotated[str, option(INPUT, "Judgments: the oracle scores by them, and they measure the result.")]
Output = Annotated[Path, option(OUTPUT, "A folder for JSON and plots.")]

bench = typer.Typer(help="Measures cost: latency, throughput, strategies, cascades.", no_args_is_help=True)


class PrefixCache(StrEnum):
    """Whether vLLM keeps the computed prefix of earlier windows."""

    on = "on"
    off = "off"
    reset = "reset"


class Compared(StrEnum):
    """What FIRST is compared with."""

    permutation = "permutation"


@bench.callback()
def _bench() -> None:
    """Measures cost. Compare figures within one run only: machines differ."""


@bench.command()
@expanded
def throughput(
    model: Model = "first-smollm2",
    *,
    settings: SetupSettings,
    windows: Annotated[int | None, option(LOAD, "How many windows; by default five times what keeps the backend busy.")] = None,
    passages: Annotated[int, option(LOAD, "Passages per window.")] = 20,
    server: Annotated[
        bool, option(LOAD, "Measure the HTTP service instead, and compare it with the executor in this process.", "--server")
    ] = False,
    clients: Annotated[int, option(LOAD, "--server: how many clients at a time.")] = 64,
    requests: Annotated[int, option(LOAD, "--server: requests per round.")] = 128,
    depth: Annotated[int, option(LOAD, "--server: documents per request.")] = 20,
    output: Annotated[Path | None, option(OUTPUT, "A folder for throughput.json, or server.json with --server.")] = None,
    as_json: AsJson = False,
) -> None:
    """Windows per second, and their FLOPs as a share of what the machine's matrix products reach in the model's shapes.

    With --server: what HTTP adds to one client's request, and what share of the windows per second remains with many clients.
    """
    if server:
        from firstrank.eval.bench import server as over_http

        served = over_http.measure_server(model, settings, depth=depth, clients=clients, requests=requests)
        if output is not None:
            over_http.write(served, output)
        print_json(served.to_dict()) if as_json else print_table(_server_table(served))
        return
    from firstrank.eval.bench import throughput as work
    from firstrank.reranker.setup import Setup

    load = work.Load(windows, passages) if windows else None
    found = work.measure(Setup.of(model, **settings), load, passages=passages)
    if output is not None:
        work.write(found, output)
    print_json(found.to_dict()) if as_json else print_table(_throughput_table(found))


@bench.command()
@expanded
def latency(
    output: Annotated[Path, option(OUTPUT, "The folder for latency.html, latency.json and latency.md.")],
    compare: Annotated[
        Compared | None, option(MODEL, "Time the same model twice: reading logits (FIRST), and generating the ordering.")
    ] = None,
    model: Model = "first-smollm2",
    *,
    settings: SetupSettings,
    prefix_cache: Annotated[PrefixCache | None, option(MODEL, "vllm: the prefix cache on, off, or reset between queries.")] = None,
    dataset: Annotated[
        str | None, option(INPUT, "A BEIR folder or ir_datasets:ID; by default docstrings of Python's standard library.")
    ] = None,
    split: Annotated[str | None, option(INPUT, "The split of a BEIR folder; by default test.")] = None,
    run: Annotated[Path | None, option(INPUT, "The first stage's run on the dataset.")] = None,
    depth: Depth = 20,
    queries: Annotated[int, option(LOAD, "Queries per pass.", "--queries")] = 16,
    concurrency: Annotated[list[int] | None, option(LOAD, "How many queries at once; by default 1. May be given several times.")] = None,
    repeats: Annotated[int, option(LOAD, "Passes at each concurrency.")] = 2,
    warmup: Annotated[int, option(LOAD, "Queries before the first pass, which do not count.")] = 2,
    as_json: Annotated[bool, option(OUTPUT, "Print latency.json.", "--json")] = False,
) -> None:
    """Seconds per query (p50, p95, p99) and queries per second; with --compare permutation, FIRST against generation."""
    from firstrank.eval.bench.latency import COMPARISONS
    from firstrank.eval.bench.latency_study import LatencyStudy, Workload
    from firstrank.reranker.setup import Setup

    study = LatencyStudy(
        Workload(dataset, split, run, depth, queries, warmup),
        COMPARISONS[compare.value if compare else None],
        Setup.of(model, **settings),
        concurrencies=concurrency or [1],
        repeats=repeats,
        prefix_cache=prefix_cache.value if prefix_cache else None,
        output=output,
    )
    found, table = study.run()
    print_json(found) if as_json else print(table)


@bench.command()
@expanded
def strategies(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    qrels: Qrels,
    output: Output,
    depth: Depth = 100,
    strategy: Annotated[list[str] | None, option(LOAD, "NAME[:key=value,…]; by default all of them.")] = None,
    noise: Annotated[list[float] | None, option(LOAD, "Standard deviation of the oracle's noise, in grades; 0 is perfect.")] = None,
    seeds: Annotated[int, option(LOAD, "How often to draw the oracle's noise.")] = 20,
    model: Annotated[str | None, option(MODEL, "A model in place of the oracle: a name, a folder, or a Hugging Face id.")] = None,
    *,
    settings: SetupSettings,
    as_json: AsJson = False,
) -> None:
    """Windows, rounds, prompt tokens and nDCG@10 of each strategy, with an oracle or a model: table, JSON, plot."""
    from statistics import fmean

    from firstrank.eval.bench import strategies as work
    from firstrank.eval.bench.collection import read_collection
    from firstrank.reranker.setup import Setup
    from firstrank.reranker.strategies.register import parse_strategy

    names = strategy or list(work.STRATEGIES)
    for name in names:
        parse_strategy(name)
    setup = None if model is None else Setup.of(model, **settings)
    collection = read_collection(run, queries, corpus, qrels, depth)
    facts: dict[str, Any] = {"run": str(run), "queries": len(collection.requests), "depth": depth}
    if setup is None:
        rows = list(work.measure_oracle(collection, names, noise or [0.0], seeds))
    else:
        facts |= {"model": setup.model, "backend": setup.backend_name}
        rows = list(work.measure_model(collection, names, setup))
    first_stage = fmean(collection.first_stage())
    found = work.write(rows, first_stage, facts, output)
    print_json(found) if as_json else print_table(_strategies_table(rows, first_stage))


@bench.command()
@expanded
def cascade(
    run: Run,
    queries: Queries,
    corpus: Corpus,
    qrels: Qrels,
    fit_run: Annotated[Path, option(LOAD, "A run with judgments, to fit the learned rule on.")],
    fit_queries: Queries,
    fit_corpus: Corpus,
    fit_qrels: Qrels,
    output: Output,
    depth: Depth = 100,
    strategy: Annotated[str, option(LOAD, "NAME[:key=value,…].")] = "sliding",
    small: Annotated[float, option(LOAD, "The small oracle's noise.")] = 1.0,
    large: Annotated[float, option(LOAD, "The large oracle's noise.")] = 0.25,
    budget: Annotated[
        list[float] | None,
        option(LOAD, "The share of a query's windows that may be deferred; by default 0, 0.1, … 1. May be given several times."),
    ] = None,
    seeds: Annotated[int, option(LOAD, "How often to draw the oracles' noise.")] = 10,
    model: Annotated[str | None, option(MODEL, "A small model in place of the small oracle; --cascade names the large one.")] = None,
    *,
    settings: SetupSettings,
    save_rule: Annotated[Path | None, option(LOAD, "Where to save the learned rule, for --defer-rule.")] = None,
    as_json: AsJson = False,
) -> None:
    """nDCG@10 against the share of windows that go to the large scorer, for each rule and for a random choice."""
    from firstrank.eval.bench import cascade as work
    from firstrank.eval.bench.collection import read_collection
    from firstrank.reranker.setup import Setup
    from firstrank.reranker.strategies.register import parse_strategy

    parsed = parse_strategy(strategy)
    budgets = budget or [tenth / 10 for tenth in range(11)]
    oracles: work.Pair = work.Oracles(small, large)
    if model is not None:
        oracles, seeds = work.open_models(Setup.of(model, **settings)), 1
    labelled = read_collection(fit_run, fit_queries, fit_corpus, fit_qrels, depth)
    collection = read_collection(run, queries, corpus, qrels, depth)
    rule = work.fitted(labelled, oracles, parsed, seeds)
    if save_rule is not None:
        rule.save(save_rule)
    points = work.measure(collection, oracles, rule, parsed, budgets, seeds)
    if isinstance(oracles, work.Models):
        oracles.close()
    facts = {
        "run": str(run),
        "fitted_on": str(fit_run),
        "strategy": strategy,
        "small": small if model is None else model,
        "large": large if model is None else settings.get("cascade"),
        "seeds": seeds,
        "depth": depth,
    }
    found = work.write(points, facts, output)
    print_json(found) if as_json else print_table(_cascade_table(points))


def _throughput_table(found: Throughput) -> Table:
    return _table(
        ("model", f"{found.model}, {found.backend}, {found.dtype} on {found.device}, {found.threads} threads"),
        ("windows", f"{found.windows} of {found.passages} passages, {found.prompt_tokens / found.windows:.0f} tokens each"),
        ("rate", f"{found.windows_per_second:.3g} windows/s, {found.tokens_per_second:.0f} tokens/s"),
        ("products", ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in found.products.items())),
        ("memory", f"{found.bandwidth / 1e9:.1f} GB/s copied"),
        ("FLOP/s", f"{found.flops / found.seconds / 1e9:.1f} G of {found.roof / 1e9:.1f} G: {found.share:.3f} of the roof"),
    )


def _server_table(found: ServiceFigures) -> Table:
    return _table(
        ("model", f"{found.model}, {found.threads or 'default'} threads, {found.depth} documents, {found.windows} windows a request"),
        ("one client", f"{found.http_ms:.2f} ms over HTTP, {found.direct_ms:.2f} ms direct: {found.overhead_ms:+.2f} ms"),
        (f"{found.clients} clients", f"{found.served:.4g} windows/s, {found.offline:.4g} offline: {found.share:.3f}"),
    )


def _table(*rows: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table("what", "figure")
    for row in rows:
        table.add_row(*row)
    return table


def _strategies_table(rows: Sequence[StrategyFigures], first_stage: float) -> Table:
    from rich.table import Column, Table

    from firstrank.eval.bench.collection import MEASURE
    from firstrank.eval.bench.strategies import COSTS

    columns = ("noise", MEASURE, "95%", "windows", "rounds", "passages", "tokens")
    table = Table(Column("strategy", overflow="fold"), *columns, caption="costs: medians over queries")
    table.add_row("(first stage)", "", f"{first_stage:.4f}", "", "", "", "", "")
    for row in rows:
        noise = "" if row.noise is None else f"{row.noise:g}"
        interval = "" if row.interval is None else f"{row.interval[0]:.4f}–{row.interval[1]:.4f}"
        table.add_row(row.strategy, noise, f"{row.effectiveness:.4f}", interval, *(f"{row.median[cost]:.0f}" for cost in COSTS))
    return table


def _cascade_table(points: Sequence[RuleFigures]) -> Table:
    from rich.table import Table

    from firstrank.eval.bench.collection import MEASURE

    table = Table("rule", "budget", "deferred", MEASURE, "above random", "p (t)", "p (randomisation)")
    for one in points:
        figures = (f"{one.effectiveness:.4f}", f"{one.above_random:+.4f}", f"{one.paired_t:.2g}", f"{one.randomisation:.2g}")
        table.add_row(one.rule, f"{one.budget:.0%}", f"{one.share:.1%}", *figures)
    return table
