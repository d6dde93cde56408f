"""The stage in pyserini's own pipelines, over real Lucene indexes (make test-pyserini)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firstrank.reranker.errors import InputError, MachineError
from firstrank.reranker.integrations.pyserini import FirstRanker, Hit, write_hits
from firstrank.reranker.reranker import Reranker
from firstrank.reranker.runs.queries import Query
from firstrank.reranker.runs.trec import read_run
from firstrank.reranker.texts import jvm
from firstrank.reranker.texts.lucene import LuceneTexts, open_searcher
from firstrank.reranker.texts.sources import open_texts, read_passages
from tests.reranker.integrations.conftest import beir, build, ms_marco

pytestmark = pytest.mark.pyserini

DEPTH, TAIL = 10, 15
WINDOWS = {"window": 4, "stride": 2}  # the tiny model's tokens are short, and windows of 20 would be long
Queries = Callable[[str, int], list[Query]]


@pytest.fixture(scope="module")
def reranker(tiny_model: Path) -> Iterator[Reranker]:
    with Reranker(str(tiny_model), threads=1, **WINDOWS) as reranker:
        yield reranker


@pytest.fixture(scope="module")
def cranfield(cranfield_index: Path) -> Any:
    return open_searcher(cranfield_index)


def as_written(run: Path) -> dict[str, list[tuple[str, float]]]:
    return {qid: list(zip(ranked.docids, ranked.scores.tolist(), strict=True)) for qid, ranked in read_run(run).items()}


def as_found(hits: dict[str, list[Hit]]) -> dict[str, list[tuple[str, float]]]:
    return {qid: [(hit.docid, hit.score) for hit in found] for qid, found in hits.items()}


@pytest.mark.parametrize("name", ["cranfield", "scifact"])
@pytest.mark.usefixtures("cache")
def test_the_stage_equals_the_command_line_score_for_score(
    name: str,
    request: pytest.FixtureRequest,
    data: Path,
    tmp_path: Path,
    tiny_model: Path,
    reranker: Reranker,
    some_queries: Queries,
    firstrank: Any,
) -> None:
    """pyserini's candidates, reranked by `firstrank rerank` from the corpus's files and from the index, and by the stage."""
    index = request.getfixturevalue(f"{name}_index")
    queries = some_queries(name, 8)
    wanted = tmp_path / "queries.jsonl"
    wanted.write_text("".join(json.dumps({"_id": query.qid, "text": query.text}) + "\n" for query in queries))
    firstrank("retrieve", "--retriever", f"pyserini:{index}", "--queries", wanted, "--depth", DEPTH + TAIL, "--output", tmp_path / "first")
    model = ["--model", tiny_model, "--threads", 1, "--window", 4, "--stride", 2]
    given = ["--run", tmp_path / "first", "--queries", wanted, "--depth", DEPTH, *model]
    firstrank("rerank", *given, "--corpus", f"lucene:{index}", "--output", tmp_path / "from-index")

    pipeline = open_searcher(index) | FirstRanker(reranker, depth=DEPTH)
    hits = pipeline.batch_search([query.text for query in queries], [query.qid for query in queries], k=DEPTH + TAIL, threads=2)
    write_hits(tmp_path / "from-stage", hits)
    assert as_found(hits) == as_written(tmp_path / "from-index")
    assert (tmp_path / "from-stage").read_bytes() == (tmp_path / "from-index").read_bytes()
    assert all(sorted(range(DEPTH), key=lambda i: -found[i].first.score) != list(range(DEPTH)) for found in hits.values())

    if name == "cranfield":  # this index keeps title and text apart, as the files do
        firstrank("rerank", *given, "--corpus", data / name, "--output", tmp_path / "from-files")
        assert (tmp_path / "from-files").read_bytes() == (tmp_path / "from-index").read_bytes()


def test_hits_hold_what_the_model_read_and_where_they_came_from(cranfield: Any, reranker: Reranker) -> None:
    first = cranfield.search("boundary layer flow", k=8)
    hits = FirstRanker(reranker, depth=5).rerank("boundary layer flow", first)
    assert {hit.docid for hit in hits[:5]} == {hit.docid for hit in first[:5]}
    assert [hit.docid for hit in hits[5:]] == [hit.docid for hit in first[5:]]
    scores = np.array([hit.score for hit in hits], np.float32)
    assert (np.diff(scores) < 0).all()
    assert hits[5].score == scores[4] - 1
    assert hits[5].passage is None
    for hit in hits[:5]:
        assert hit.passage is not None
        assert hit.passage.text in json.loads(hit.lucene_document.get("raw"))["text"]
        assert hit.passage.title == json.loads(hit.lucene_document.get("raw"))["title"] != ""
        assert hit.first.score > 0


def test_stages_follow_one_another_and_k_cuts_what_they_give(cranfield: Any, reranker: Reranker) -> None:
    stage = FirstRanker(reranker, depth=6)
    assert [hit.docid for hit in (cranfield | stage).search("flow", k=3)] == [
        hit.docid for hit in stage.rerank("flow", cranfield.search("flow", k=6))[:3]
    ]
    twice = cranfield | FirstRanker(reranker, depth=6) | FirstRanker(reranker, depth=3)
    once = (cranfield | stage).search("flow", k=6)
    assert [hit.docid for hit in twice.search("flow", k=6)][3:] == [hit.docid for hit in once][3:]
    assert twice.search("flow", k=6)[0].first.passage is not None
    with pytest.raises(TypeError):
        object() | stage


def test_a_query_without_hits_gives_none(cranfield: Any, reranker: Reranker) -> None:
    pipeline = cranfield | FirstRanker(reranker)
    assert pipeline.search("zzzunheardof") == []
    assert pipeline.batch_search(["the", "flow"], ["1", "2"], k=2)["1"] == []
    assert pipeline.batch_search([], []) == {}


@pytest.mark.parametrize("source", ["mapping", "folder", "lucene", "texts"])
@pytest.mark.usefixtures("cache")
def test_texts_from_elsewhere(source: str, data: Path, cranfield_index: Path, cranfield: Any, reranker: Reranker) -> None:
    wanted = {passage.docid: passage for passage in read_passages(data / "cranfield")}
    texts: Any = {
        "mapping": {docid: passage.text for docid, passage in wanted.items()},
        "folder": str(data / "cranfield"),
        "lucene": f"lucene:{cranfield_index}",
        "texts": open_texts(data / "cranfield", lambda: wanted),
    }[source]
    [hit, *_] = (cranfield | FirstRanker(reranker, depth=3, texts=texts)).search("flow", k=3)
    assert hit.passage.text == wanted[hit.docid].text
    assert bool(hit.passage.title) == (source != "mapping")


def test_an_index_without_text_says_what_to_do(tmp_path: Path, data: Path, reranker: Reranker) -> None:
    passages = list(islice(read_passages(data / "cranfield"), 20))
    bare = open_searcher(build(tmp_path / "bare", iter(passages), ms_marco))
    docids = [hit.docid for hit in bare.search("flow", k=5)]
    with pytest.raises(InputError, match=rf"query 'flow': no text for \d+ of its \d+ hits \({docids[0]}, .*--storeRaw"):
        (bare | FirstRanker(reranker)).search("flow")
    with pytest.raises(InputError, match="keeps no text"):
        LuceneTexts(str(tmp_path / "bare")).get(docids)
    assert len((bare | FirstRanker(reranker, texts={p.docid: p.text for p in passages})).search("flow", k=5)) == len(docids)
    contents = open_searcher(build(tmp_path / "contents", iter(passages), beir, "-storeContents"))
    assert (contents | FirstRanker(reranker)).search("flow")[0].passage.text


def test_bad_hits_are_refused(cranfield: Any, reranker: Reranker) -> None:
    stage = FirstRanker(reranker)
    hits = cranfield.search("flow", k=3)
    with pytest.raises(InputError, match="a docid comes twice"):
        stage.rerank("flow", [*hits, hits[0]])
    with pytest.raises(InputError, match="2 queries, but 1 qids"):
        stage.rerank_batch(["a", "b"], ["1"], {})
    with pytest.raises(InputError, match="at least 1"):
        FirstRanker(reranker, depth=0)


def test_dense_hits_are_reranked_with_texts_from_the_sparse_index(tmp_path: Path, data: Path, cranfield: Any, reranker: Reranker) -> None:
    """pyserini's FaissSearcher over latent semantic vectors, alone and in its HybridSearcher."""
    import faiss
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    passages = [passage for passage in read_passages(data / "cranfield") if passage.text]
    encoder = make_pipeline(TfidfVectorizer(), TruncatedSVD(32, random_state=0))
    vectors = encoder.fit_transform([passage.text for passage in passages]).astype(np.float32)
    index = faiss.IndexFlatIP(32)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "index"))
    (tmp_path / "docid").write_text("".join(passage.docid + "\n" for passage in passages))

    class Encoder:
        def encode(self, query: str) -> Any:
            return encoder.transform([query])[0].astype(np.float32)

    dense = jvm.pyserini("pyserini.search.faiss").FaissSearcher(str(tmp_path), Encoder())
    by_docid = {passage.docid: passage.text for passage in passages}
    pipeline = dense | FirstRanker(reranker, depth=4, texts=by_docid)
    hits = pipeline.search("heat transfer", k=6)
    first = dense.search("heat transfer", 6)
    assert {hit.docid for hit in hits} == {hit.docid for hit in first}
    assert hits[0].lucene_document is None
    assert as_found(pipeline.batch_search(["heat transfer"], ["q"], k=6))["q"] == [(hit.docid, hit.score) for hit in hits]

    hybrid = jvm.pyserini("pyserini.search.hybrid").HybridSearcher(dense, cranfield)
    dense.ssearcher = cranfield  # where pyserini's prebuilt dense indexes keep their texts
    assert (dense | FirstRanker(reranker, depth=4)).search("heat transfer", k=4)[0].passage.text
    assert len((hybrid | FirstRanker(reranker, depth=4, texts=by_docid)).search("heat transfer", k=6, k0=10)) == 6


def test_impact_hits_are_reranked(tmp_path: Path, data: Path, reranker: Reranker) -> None:
    """pyserini's LuceneImpactSearcher over an impact index: a word's weight is how often it occurs."""
    from collections import Counter

    passages = [passage for passage in read_passages(data / "cranfield") if passage.text][:100]
    (tmp_path / "vectors").mkdir()
    with (tmp_path / "vectors" / "part.jsonl").open("w") as file:
        for passage in passages:
            vector = dict(Counter(word for word in passage.text.split() if word.isalpha()))
            file.write(json.dumps({"id": passage.docid, "contents": passage.text, "vector": vector}) + "\n")
    code = (  # the indexer's main ends Java, and the process with it
        "import sys; from firstrank.reranker.texts import jvm; jvm.start(); from jnius import autoclass\n"
        "autoclass('io.anserini.index.IndexCollection').main(sys.argv[1:])"
    )
    options = ["-collection", "JsonVectorCollection", "-generator", "DefaultLuceneDocumentGenerator", "-threads", "1"]
    paths = ["-input", str(tmp_path / "vectors"), "-index", str(tmp_path / "impact")]
    command = [sys.executable, "-c", code, *options, *paths, "-impact", "-pretokenized", "-storeRaw"]
    subprocess.run(command, check=True, capture_output=True)

    class Encoder:
        def encode(self, query: str) -> dict[str, int]:
            return dict.fromkeys(query.split(), 1)

    impact = jvm.pyserini("pyserini.search.lucene").LuceneImpactSearcher(str(tmp_path / "impact"), Encoder())
    hits = (impact | FirstRanker(reranker, depth=4)).search("boundary layer", k=6)
    assert {hit.docid for hit in hits} == {hit.docid for hit in impact.search("boundary layer", 6)}
    assert hits[0].passage.text in {passage.text for passage in passages}


def test_threads_may_read_one_index(cranfield_index: Path) -> None:
    """pyjnius mixes up what several threads ask at once: a lock keeps them apart."""
    texts = LuceneTexts(str(cranfield_index))
    right = texts.get([str(i) for i in range(1, 400)])
    wrong: list[str] = []

    def read(start: int) -> None:
        for i in range(40):
            docids = [str((7 * i + 13 * start + j) % 399 + 1) for j in range(20)]
            wrong.extend(docid for docid, passage in texts.get(docids).items() if passage != right[docid])

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_texts_of_an_index(cranfield_index: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = f"lucene:{cranfield_index}"
    with pytest.raises(InputError, match=r"2 passages are not there.*\(471, none\)"):  # 471 is empty: Lucene leaves it out
        open_texts(source, lambda: ["1", "471", "none"])
    assert set(open_texts(source, lambda: ["1", "none"], missing="skip").get(["1", "none", "2"])) == {"1", "2"}
    assert "1 passage is not there" in caplog.text
    assert not cache.exists()  # an index is read where it is


def test_a_damaged_index_is_no_traceback(cranfield_index: Path, tmp_path: Path) -> None:
    (tmp_path / "segments_1").write_bytes(b"not an index")
    with pytest.raises(MachineError, match="the index cannot be opened"):
        open_searcher(tmp_path)


def test_java_starts_in_a_process_of_its_own_and_pyserini_runs_without_a_key(cranfield_index: Path) -> None:
    code = (
        "import os, sys; os.environ.pop('OPENAI_API_KEY', None)\n"
        "from firstrank.reranker.texts import jvm; jvm.start(); jvm.start()\n"
        "from firstrank.reranker.texts.lucene import open_searcher\n"
        "print(open_searcher(sys.argv[1]).num_docs, 'OPENAI_API_KEY' in os.environ, os.environ['JAVA_HOME'] != '')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(cranfield_index)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1398", "False", "True"]


def test_linear_algebra_in_the_main_thread_survives_java() -> None:
    """LAPACK's factorisation takes more stack than Java leaves the main thread by default."""
    code = (
        "from firstrank.reranker.texts import jvm; jvm.start()\n"
        "import numpy as np, scipy.linalg; print(scipy.linalg.lu(np.random.default_rng(0).random((1400, 42)))[0].shape)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-2:] == [
        "(1400,",
        "1400)",
    ]
