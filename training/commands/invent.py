"""`firstrank data invent`: queries made of a corpus, by rules or by a model that writes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from firstrank.reranker.commands.options import INPUT, MODEL, OUTPUT, AsJson, Corpus, expanded, option
from firstrank.reranker.errors import InputError
from firstrank.training.commands.shared import EXAMPLES, Seed, lasting, tell

if TYPE_CHECKING:
    from firstrank.reranker.setup import Setup, SetupSettings
    from firstrank.reranker.types import Passage
    from firstrank.training.data.questions import Asking, Written
    from firstrank.training.data.selection import Selection

QUESTIONS = "questions"


@expanded
def invent(
    corpus: Corpus,
    output: Annotated[Path, option(OUTPUT, "The folder to write, a collection in BEIR's layout.")],
    kind: Annotated[
        str,
        option(
            EXAMPLES,
            "What becomes a query: titles (removed from the passages), sentences (the first one, removed from its passage), keywords, or "
            "questions, which --model writes.",
        ),
    ] = "titles",
    count: Annotated[int, option(EXAMPLES, "How many queries; of questions, how many passages the model reads.")] = 1000,
    model: Annotated[
        str | None, option(MODEL, "questions: the model that writes them, a name or a folder; with --backend chat its name at the host.")
    ] = None,
    *,
    writer: SetupSettings,
    prompt: Annotated[str, option(INPUT, "questions: what the model is shown: a name in configs/questions/, or a YAML file.")] = "search",
    words: Annotated[int, option(EXAMPLES, "questions: how many words of a passage the model reads.")] = 200,
    round_trip: Annotated[
        int, option(EXAMPLES, "questions: keep a query only if BM25 finds its passage among so many of the corpus; 0 keeps all.")
    ] = 20,
    likeliest: Annotated[
        int | None, option(EXAMPLES, "questions: of those that are left, keep so many, the likeliest by the model's log probability.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Makes queries from a corpus alone. Each asks for the passage that it comes from.

    With --kind questions the same command goes on after an interruption: what was written is not asked for, or paid for, again.
    """
    from firstrank.training.data import invented
    from firstrank.training.data.selection import Selection

    kinds = (*invented.KINDS, QUESTIONS)
    if kind not in kinds or count < 1:
        raise InputError(f"--kind {kind} --count {count}: the kind must be one of {', '.join(kinds)}, and the count at least 1")
    _check_output(output, corpus)
    selection = Selection()
    if kind == QUESTIONS:
        from firstrank.training.data.questions import Asking, read_prompt

        asking = Asking(read_prompt(prompt), words, round_trip, likeliest)
        more = _questions(corpus, output, _setup(model, writer), asking, count, seed, selection)
        tell(output, "queries", selection, as_json, **more)
        return
    selection.kept = _made(corpus, output, kind, count, seed)
    tell(output, "queries", selection, as_json)


def _made(corpus: str, output: Path, kind: str, count: int, seed: int) -> int:
    """Queries by rules; gives how many."""
    from firstrank.reranker.texts.sources import read_passages
    from firstrank.training.data import invented

    read = list(read_passages(corpus))
    made = list(invented.KINDS[kind](read, seed))
    if not made:
        raise InputError(f"{corpus}: no passage has what --kind {kind} makes queries from")
    asked = invented.some(made, count, seed)
    cut = {one.passage.docid: one.passage for one in asked}
    passages = [cut.get(passage.docid, passage) for passage in read] if kind == "sentences" else [one.passage for one in made]
    invented.write(output, asked, passages)
    return len(asked)


def _questions(corpus: str, output: Path, setup: Setup, asking: Asking, count: int, seed: int, selection: Selection) -> dict[str, float]:
    """Queries that a model writes; gives what they cost, where there are prices."""
    from firstrank.reranker.batch.journal import open_journal
    from firstrank.reranker.retrievers.bm25 import BM25
    from firstrank.reranker.runs.files import fingerprint
    from firstrank.reranker.texts.sources import read_passages
    from firstrank.training.data import invented, questions

    read = list(read_passages(corpus))
    passages = questions.drawn(read, count, seed)
    if not passages:
        raise InputError(f"{corpus}: no passage has the words that it takes to be asked about")
    index = BM25(read) if asking.round_trip else None
    facts = {"--corpus": fingerprint(corpus), "--seed": str(seed)} | asking.facts() | lasting(setup)
    with open_journal(Path(f"{output.resolve()}.{QUESTIONS}"), facts) as journal:

        def write(waiting: Sequence[Passage], done: Container[str]) -> Iterator[Written]:
            return _writing(setup, asking, waiting, done, questions.spent(journal), selection)

        asked = asking.kept(questions.remembered(write, passages, journal), index, selection)
        if not asked:
            reasons = "; ".join(f"{why} ({found['count']})" for why, found in selection.report()["reasons"].items())
            raise InputError(f"{output}: no query is left: {reasons}")
        invented.write(output, asked, read)
        cost = questions.spent(journal)
        journal.delete()
    return {"cost": cost} if cost else {}


def _writing(
    setup: Setup, asking: Asking, passages: Sequence[Passage], done: Container[str], spent: float, selection: Selection
) -> Iterator[Written]:
    """What the model writes; it is loaded, or its hosts are tried out, only now that there is something to write."""
    from firstrank.reranker.models.loaded import load_model
    from firstrank.reranker.models.progress import Progress, working
    from firstrank.reranker.scorers.backends import spec_of
    from firstrank.reranker.scorers.chat.options import ChatOptions
    from firstrank.reranker.scorers.transformers.options import TransformersOptions
    from firstrank.training.data.hosted_writer import HostedWriter
    from firstrank.training.data.local_writer import LocalWriter

    if isinstance(setup.backend, ChatOptions):
        hosted = HostedWriter(spec_of(setup.model, setup.backend), setup.backend, asking, spent)
        written = hosted.write(passages, done, selection)
    else:
        assert isinstance(setup.backend, TransformersOptions)
        with working(f"loading model {setup.model}"):
            local = LocalWriter(load_model(setup.model, revision=setup.revision), setup.backend, asking)
        written = local.write(passages, done)
    with Progress("queries", len(passages), sum(passage.docid in done for passage in passages)) as progress:
        for one in written:
            yield one
            progress.advance()


def _setup(model: str | None, writer: SetupSettings) -> Setup:
    from firstrank.reranker.scorers.chat.options import ChatOptions
    from firstrank.reranker.scorers.transformers.options import TransformersOptions
    from firstrank.reranker.setup import Setup

    if model is None:
        raise InputError(f"--kind {QUESTIONS}: name the model that writes them, for example --model smollm2-base")
    if writer.get("backend") not in (None, "transformers", "chat"):
        raise InputError(f"--backend {writer['backend']}: queries are written by transformers or chat")
    setup = Setup.of(model, **writer)
    assert isinstance(setup.backend, (ChatOptions, TransformersOptions))
    return setup


def _check_output(output: Path, corpus: str) -> None:
    """Raises InputError for an output that cannot be a folder, or would replace the corpus."""
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output}: is a file; give the name of a folder")
    read, written = Path(corpus).expanduser().resolve(), output.resolve()
    if read.exists() and (read == written or (read.parent == written and read.name.startswith("corpus.jsonl"))):
        raise InputError(f"--output {output}: is what --corpus reads, and would be replaced: give the output another name")
    try:
        written.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {output}: a collection cannot be written there: {error.strerror or error}") from error
