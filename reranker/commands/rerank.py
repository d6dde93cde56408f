"""`firstrank rerank`: a TREC run in, a better one out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstrank.reranker.batch.job import Inputs, Job, Missing, OnError
from firstrank.reranker.commands.console import note, print_json, print_measures
from firstrank.reranker.commands.options import ERRORS, FEEDBACK, INPUT, MODEL, OUTPUT, DropSelf, Limit, Tag, expanded, option, tag_of
from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Backend

if TYPE_CHECKING:
    from firstrank.reranker.batch.placement import Placement
    from firstrank.reranker.setup import SetupSettings


@expanded
def rerank(
    output: Annotated[
        Path, option(OUTPUT, "The run to write (a name in .gz is compressed). With --requests, .json or .jsonl gives RankLLM's form.")
    ],
    run: Annotated[Path | None, option(INPUT, "A TREC run with the first stage's candidates.")] = None,
    queries: Annotated[str | None, option(INPUT, "JSONL, TSV, a BEIR folder, or ir_datasets:ID.")] = None,
    corpus: Annotated[str | None, option(INPUT, "A BEIR folder, corpus.jsonl[.gz], a .tsv, ir_datasets:ID, or lucene:DIR.")] = None,
    requests: Annotated[Path | None, option(INPUT, "RankLLM's JSON or JSONL, in place of run, queries and corpus.")] = None,
    depth: Annotated[int, option(INPUT, "Candidates per query to rerank.")] = 100,
    drop_self: DropSelf = False,
    limit: Limit = None,
    model: Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")] = "default",
    *,
    settings: SetupSettings,
    placement: Placement,
    feedback: Annotated[
        int, option(FEEDBACK, "How often to improve the query vectors by the ranking, retrieve again, and rerank again.")
    ] = 0,
    vectors: Annotated[
        Path | None, option(FEEDBACK, "The folder of the vectors; made if it does not exist. By default OUTPUT.vectors.")
    ] = None,
    encoder: Annotated[str, option(FEEDBACK, "The encoder that makes the vectors: minilm, a folder, or a Hugging Face id.")] = "minilm",
    on_error: Annotated[
        OnError, option(ERRORS, "What to do about a query that fails: fail at the end, skip it, or keep its first-stage order.")
    ] = OnError.fail,
    missing: Annotated[Missing, option(ERRORS, "What to do about a docid without a text: fail, or leave it in the tail.")] = Missing.fail,
    min_probability: Annotated[
        float | None, option(OUTPUT, "Leave out candidates that are less probably relevant, and the tail; for calibrated models.")
    ] = None,
    no_tail: Annotated[bool, option(OUTPUT, "Write the reranked candidates only.", "--no-tail")] = False,
    trace: Annotated[Path | None, option(OUTPUT, "Where to write what each query asked and cost, as JSONL.")] = None,
    qrels: Annotated[str | None, option(OUTPUT, "Judgments, to measure the first stage and the output; the oracle scores by them.")] = None,
    tag: Tag = "firstrank",
    as_json: Annotated[bool, option(OUTPUT, "Print the summary as JSON.", "--json")] = False,
) -> None:
    """Reranks the candidates of a TREC run with a listwise model: one prefill per window, ranked by the first token's logits."""
    from firstrank.reranker.runs.qrels import read_qrels
    from firstrank.reranker.setup import Setup

    inputs = Inputs(run, queries, corpus, requests, depth, drop_self, missing, limit)
    inputs.check(needs_run=not feedback)
    if settings.get("backend") == Backend.oracle:
        settings |= oracle_settings(qrels)
    judged = settings.get("qrels") or (None if qrels is None else read_qrels(qrels))
    setup = placement.fitted(Setup.of(model, **settings))
    job = Job(inputs, setup, output, trace, not no_tail, on_error, judged, tag_of(tag), min_probability)
    if feedback:
        from firstrank.reranker.commands.feedback import Rounds

        report = Rounds(job, feedback, vectors or output.with_name(f"{output.name}.vectors"), encoder).run(placement.open(setup))
    else:
        report = job.run(placement.open(setup))
    if as_json:
        print_json(report.to_dict())
        return
    note(str(report))
    if report.measured:
        print_measures(report.measured)


def oracle_settings(qrels: str | None) -> SetupSettings:
    """What the oracle needs. Raises InputError without judgments."""
    from firstrank.reranker.runs.qrels import read_qrels

    if qrels is None:
        raise InputError("--backend oracle scores by judgments: give --qrels")
    return {"qrels": read_qrels(qrels), "source": qrels}
