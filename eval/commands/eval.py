"""`firstrank eval`: runs and models, measured side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import INPUT, MODEL, OUTPUT, DropSelf, Limit, expanded, option
from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Backend

if TYPE_CHECKING:
    from firstrank.reranker.batch.placement import Placement
    from firstrank.reranker.setup import SetupSettings

STATISTICS = "Statistics"


class Correction(StrEnum):
    """How p-values are adjusted for the number of tests; see `firstrank.eval.significance`."""

    holm = "holm"
    bonferroni = "bonferroni"
    bh = "bh"
    none = "none"


@expanded
def evaluate(
    output: Annotated[Path, option(OUTPUT, "The folder for report.html, report.json, per_query.csv, tables and plots.")],
    dataset: Annotated[str | None, option(INPUT, "A BEIR folder, or ir_datasets:ID with queries, judgments and texts.")] = None,
    qrels: Annotated[str | None, option(INPUT, "Judgments alone, in place of a dataset.")] = None,
    queries: Annotated[str | None, option(INPUT, "With --qrels: the texts of the queries, for the report and for --rerank.")] = None,
    corpus: Annotated[str | None, option(INPUT, "With --qrels: the passages, for the report and for --rerank.")] = None,
    run: Annotated[
        list[Path] | None, option(INPUT, "A TREC run or RankLLM's JSONL; give several. The others are compared with the first.")
    ] = None,
    split: Annotated[str | None, option(INPUT, "The split of a BEIR folder; by default test.")] = None,
    trace: Annotated[
        list[str] | None, option(INPUT, "NAME=FILE: the file that firstrank rerank --trace wrote for the run NAME, for its cost.")
    ] = None,
    drop_self: DropSelf = False,
    limit: Limit = None,
    rerank: Annotated[list[str] | None, option(MODEL, "A model that reranks the first run; its ranking is one more system.")] = None,
    depth: Annotated[int, option(MODEL, "Candidates per query to rerank.")] = 100,
    *,
    settings: SetupSettings,
    placement: Placement,
    measure: Annotated[
        list[str] | None, option(STATISTICS, "A measure by its name in ir_measures: nDCG@10, RR(rel=2)@10. The report sorts by the first.")
    ] = None,
    seed: Annotated[int, option(STATISTICS, "The random seed, for the bootstrap, the randomisation test, and strategies that draw.")] = 0,
    baseline: Annotated[
        str | None, option(STATISTICS, "Compare each system with this one only (the name of a run); by default every pair.")
    ] = None,
    correction: Annotated[
        Correction, option(STATISTICS, "How to correct p-values for many tests: holm, bonferroni, bh (false discovery rate) or none.")
    ] = Correction.holm,
    relevant_from: Annotated[
        int | None, option(STATISTICS, "The lowest grade that counts as relevant; by default 2 on a scale of 0 to 3 (TREC-DL), else 1.")
    ] = None,
    provenance: Annotated[
        bool, option(OUTPUT, "Print each row's files with their SHA-256, and the command, below the table.", "--provenance")
    ] = False,
    no_texts: Annotated[
        bool, option(OUTPUT, "Do not read the corpus; the report then shows docids without passages.", "--no-texts")
    ] = False,
    as_json: Annotated[bool, option(OUTPUT, "Print the report as JSON.", "--json")] = False,
) -> None:
    """Measures runs and models side by side: effectiveness with significance, and what a query costs."""
    from firstrank.eval.evaluation import Method
    from firstrank.eval.report import tables
    from firstrank.eval.report.files import report_object
    from firstrank.eval.reranking import opener_of
    from firstrank.eval.study import Files, Study
    from firstrank.reranker.setup import Setup

    if settings.get("backend") == Backend.oracle:
        raise InputError(
            "--backend oracle: this command measures models; use an oracle with firstrank rerank or firstrank bench strategies"
        )
    settings["seed"] = seed
    setups = [placement.fitted(Setup.of(model, **settings)) for model in dict.fromkeys(rerank or ())]
    how = opener_of(placement)
    method = Method(baseline, correction.value, relevant_from, seed)
    files = None if qrels is None else Files(qrels, queries, corpus)
    study = Study(
        dataset, split, run or (), trace or (), setups, output, depth, drop_self, measure or (), method, not no_texts, limit, files, how
    )
    evaluation = study.run()
    if as_json:
        print_json(report_object(evaluation, study.facts()))
        return
    print(tables.markdown(evaluation))
    if provenance:
        print(tables.provenance(evaluation, study.facts()))
    note(f"{output / 'report.html'}: the whole report")
