"""`firstrank rerank`: a TREC run in, a better one out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from firstrank.reranker.batch.job import Inputs, Job, Missing, OnError
from firstrank.reranker.batch.placement import Engine, Placement
from firstrank.reranker.errors import InputError


class Backend(StrEnum):
    """What scores the windows."""

    transformers = "transformers"
    vllm = "vllm"
    openai = "openai"
    oracle = "oracle"


INPUT, MODEL, SCHEDULE, FEEDBACK = "Input", "Model", "Windows", "Relevance feedback"
ERRORS, ENGINE, OUTPUT = "Faults", "Engine", "Output"


def option(panel: str, text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


def rerank(
    output: Annotated[Path, option(OUTPUT, "The run to write (.gz is compressed); .jsonl with --requests gives RankLLM's form.")],
    run: Annotated[Path | None, option(INPUT, "A TREC run: the first stage's candidates.")] = None,
    queries: Annotated[str | None, option(INPUT, "JSONL, TSV, a BEIR folder, or ir_datasets:ID.")] = None,
    corpus: Annotated[str | None, option(INPUT, "A BEIR folder, corpus.jsonl[.gz], a .tsv, ir_datasets:ID, or lucene:DIR.")] = None,
    requests: Annotated[Path | None, option(INPUT, "RankLLM's JSONL, in place of run, queries and corpus.")] = None,
    depth: Annotated[int, option(INPUT, "Candidates of a query to rerank.")] = 100,
    drop_self: Annotated[bool, option(INPUT, "Leave out the candidate whose docid is the qid (ArguAna).", "--drop-self")] = False,
    model: Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")] = "default",
    backend: Annotated[Backend, option(MODEL, "What scores the windows.")] = Backend.transformers,
    base_url: Annotated[list[str] | None, option(MODEL, "openai: a server's address; several are balanced.")] = None,
    engine_arg: Annotated[list[str] | None, option(MODEL, "vllm, openai: a setting of the engine, KEY=VALUE; repeatable.")] = None,
    device: Annotated[str | None, option(MODEL, "auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[str | None, option(MODEL, "float32, bfloat16 or float16; by default what suits the device.")] = None,
    threads: Annotated[int | None, option(MODEL, "CPU threads; results are the same to the bit for the same number.")] = None,
    lanes: Annotated[int | None, option(MODEL, "CPU: windows at once, which share the threads; more a second, each one slower.")] = None,
    revision: Annotated[str | None, option(MODEL, "The model's revision on the hub.")] = None,
    noise: Annotated[float, option(MODEL, "oracle: standard deviation of the noise on its grades.")] = 0.0,
    cascade: Annotated[str | None, option(MODEL, "A larger model, for the windows of which --model is unsure.")] = None,
    defer_budget: Annotated[float, option(MODEL, "The share of a query's windows that the larger model may see.")] = 0.3,
    defer_rule: Annotated[str, option(MODEL, "How unsure the model is: entropy, margin, or a learned rule's file.")] = "entropy",
    strategy: Annotated[
        str | None, option(SCHEDULE, "NAME[:key=value,…]: sliding, full, topdown, tournament, blitz, consistent; by default the model's.")
    ] = None,
    window: Annotated[str | None, option(SCHEDULE, "Passages a window, or auto; by default the model's.")] = None,
    stride: Annotated[int | None, option(SCHEDULE, "Places that the window moves; by default the model's.")] = None,
    passes: Annotated[int | None, option(SCHEDULE, "Times over the list.")] = None,
    top_k: Annotated[int | None, option(SCHEDULE, "Only the best N need be right.")] = None,
    seed: Annotated[int, option(SCHEDULE, "For strategies and oracles that draw.")] = 0,
    engine: Annotated[Engine, option(ENGINE, "local: in this process; ray: in many workers.")] = Engine.local,
    address: Annotated[str | None, option(ENGINE, "ray: the cluster's address, or auto; by default one on this machine.")] = None,
    workers: Annotated[int | None, option(ENGINE, "ray: by default as many as the cluster has GPUs, or cores, for.")] = None,
    gpus_per_worker: Annotated[float | None, option(ENGINE, "ray: by default 1 where there are GPUs.")] = None,
    feedback: Annotated[int, option(FEEDBACK, "Rounds of: distil the ranking into query vectors, retrieve again, rerank again.")] = 0,
    vectors: Annotated[Path | None, option(FEEDBACK, "Their folder; made if it is not there. By default OUTPUT.vectors.")] = None,
    encoder: Annotated[str, option(FEEDBACK, "What makes vectors: minilm, a folder, or a Hugging Face id.")] = "minilm",
    on_error: Annotated[
        OnError, option(ERRORS, "A query that fails: fail at the end, skip it, or keep its first-stage order.")
    ] = OnError.fail,
    missing: Annotated[Missing, option(ERRORS, "A docid without text: fail, or leave it in the tail.")] = Missing.fail,
    no_tail: Annotated[bool, option(OUTPUT, "Write the reranked candidates only.", "--no-tail")] = False,
    trace: Annotated[Path | None, option(OUTPUT, "What each query asked and cost, as JSONL.")] = None,
    qrels: Annotated[str | None, option(OUTPUT, "Judgments: measure the first stage and the output (and feed the oracle).")] = None,
    as_json: Annotated[bool, option(OUTPUT, "The summary as JSON.", "--json")] = False,
) -> None:
    """Reranks the candidates of a TREC run with a listwise model: one prefill a window, ranked by the first token's logits."""
    from firstrank.reranker.scorers.settings import engine_args
    from firstrank.reranker.setup import Oracle, Setup

    if backend is Backend.oracle and qrels is None:
        raise InputError("--backend oracle scores by judgments: give --qrels")
    if backend is Backend.oracle and cascade is not None:
        raise InputError("--cascade defers to a model, and --backend oracle has none: try `firstrank bench cascade`")
    if backend is Backend.openai and not base_url:
        raise InputError("--backend openai asks a running server: give --base-url, say http://127.0.0.1:8000")
    placement = Placement(engine, address, workers, gpus_per_worker)
    options = {
        "base_urls": tuple(base_url) if base_url else None,
        "engine": engine_args(engine_arg) if engine_arg else None,
        "device": device,
        "dtype": dtype,
        "threads": placement.threads(threads, backend),
        "lanes": lanes,
        "revision": revision,
    }
    setup = Setup(
        model=model,
        backend=backend.value,
        strategy=strategy,
        window=window_of(window),
        stride=stride,
        passes=passes,
        top_k=top_k,
        seed=seed,
        options={name: value for name, value in options.items() if value is not None},
        oracle=Oracle(str(qrels), noise) if backend is Backend.oracle else None,
        cascade=cascade,
        defer_budget=defer_budget,
        defer_rule=defer_rule,
    )
    inputs = Inputs(run, queries, corpus, requests, depth, drop_self, missing)
    inputs.check(needs_run=not feedback)
    if vectors is not None and not feedback:
        raise InputError(f"--vectors {vectors}: only with --feedback")
    job = Job(inputs, setup, output, trace, not no_tail, on_error, qrels, as_json)
    if feedback:
        from firstrank.reranker.commands.feedback import Rounds

        Rounds(job, feedback, vectors or output.with_name(f"{output.name}.vectors"), encoder).run(placement.open(setup))
    else:
        job.run(placement.open(setup))


def window_of(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(f"--window {text}: give a number of passages from 1, or auto")
    return int(text)
