"""`firstrank calibrate`: probabilities of relevance for a model, fitted to judged queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstrank.reranker.commands.console import note, print_json
from firstrank.reranker.commands.options import INPUT, MODEL, OUTPUT, expanded, option
from firstrank.reranker.errors import InputError
from firstrank.reranker.types import Backend

if TYPE_CHECKING:
    from firstrank.reranker.setup import SetupSettings


@expanded
def calibrate(
    output: Annotated[Path, option(OUTPUT, "The calibration to write, as YAML: for `calibration:` in the model's YAML, or --calibration.")],
    dataset: Annotated[list[str], option(INPUT, "A BEIR folder with judgments; several, each with its --run.")],
    run: Annotated[list[Path], option(INPUT, "A TREC run over the dataset: its candidates are judged.")],
    split: Annotated[list[str] | None, option(INPUT, "The split of each dataset, in their order; by default test.")] = None,
    queries: Annotated[int | None, option(INPUT, "So many queries of each run, evenly spread; by default all.")] = None,
    depth: Annotated[int, option(INPUT, "Candidates of a query.")] = 100,
    relevant_from: Annotated[
        int | None, option(INPUT, "The lowest grade that counts as relevant; by default 2 on a scale of 0 to 3 (TREC-DL), else 1.")
    ] = None,
    model: Annotated[str, option(MODEL, "A name (firstrank models list), a folder, or a Hugging Face id.")] = "default",
    *,
    settings: SetupSettings,
    as_json: Annotated[bool, option(OUTPUT, "The calibration as JSON.", "--json")] = False,
) -> None:
    """Fits what makes probabilities of a model's evidence: use queries that nothing else is measured on."""
    from firstrank.eval.calibration import Plan, Source
    from firstrank.reranker.runs.files import check_writable
    from firstrank.reranker.setup import Setup

    if settings.get("backend", Backend.transformers) != Backend.transformers:
        raise InputError(f"--backend {settings['backend']}: a calibration holds for values that transformers reads")
    if len(run) != len(dataset) or (split and len(split) != len(dataset)):
        raise InputError(f"--dataset is given {len(dataset)} times: give --run, and --split if any, as often and in the same order")
    check_writable(output)
    splits: list[str | None] = [*split] if split else [None] * len(dataset)
    sources = [Source(one, part, path) for one, part, path in zip(dataset, splits, run, strict=True)]
    setup = Setup.of(model, **{"calibration": "none"} | settings)
    found = Plan(setup, sources, queries, depth, relevant_from).run()
    found.write(output)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for one in found.fitted_on:
        note(
            f"{one.name}: {one.queries} queries, {one.passages} candidates, {one.relevant:.1%} relevant (grade >= {one.relevant_from}); "
            f"held out: ECE {one.ece:.3f}, Brier {one.brier:.3f}"
        )
        for part in one.bins:
            note(f"  said {part.probability:.3f}, relevant {part.relevant:.3f}: {part.share:.1%} of the candidates")
    note(f"{output}: written; a cut at {found.cut:g} keeps, in each of them, 95% of the relevant candidates among each query's best 10")
