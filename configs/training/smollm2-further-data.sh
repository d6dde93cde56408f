#!/usr/bin/env bash
# The examples of smollm2-further.yaml: bash smollm2-further-data.sh COLLECTIONS OUTPUT writes OUTPUT/further.jsonl.
# COLLECTIONS holds BEIR folders medquad, selqa, scifact, xquad-en, hotpotqa-100. Needs pip install 'firstrank[dense]'. Goes on where it stopped.
# Nobody's judgments: questions and keywords, graded by MiniLM alone, which reads as much of a passage as training shows. Candidates are
# BM25's first 40, so that most of a window is hard to tell apart. Test queries of SciFact and SelQA are not touched.
set -euo pipefail
from=$1 to=$2
mkdir -p "$to"

# Wikipedia as one corpus: SelQA's sections, three sentences a passage, and the paragraphs of XQuAD and HotpotQA with all three's questions.
wikipedia() {
    [ -s "$to/wikipedia/queries.jsonl" ] || python - "$from" "$to/wikipedia" <<'PYTHON'
import json
import sys
from itertools import groupby
from pathlib import Path

from reranker.runs import read_qrels, read_queries
from reranker.texts import read_passages

source, out = Path(sys.argv[1]), Path(sys.argv[2])
corpus = []
for title, sentences in groupby(read_passages(str(source / "selqa")), lambda passage: passage.title):
    texts = [passage.text for passage in sentences]
    corpus += [(title, " ".join(texts[i : i + 3])) for i in range(0, len(texts), 3)]
for name in ("xquad-en", "hotpotqa-100"):
    corpus += [(passage.title, passage.text) for passage in read_passages(str(source / name))]
asked = []
for name, split in (("selqa", "train"), ("xquad-en", "test"), ("hotpotqa-100", "test")):
    judged = read_qrels(str(source / name / "qrels" / f"{split}.tsv"))
    asked += [query.text for query in read_queries(str(source / name)) if query.qid in judged]
out.mkdir(parents=True, exist_ok=True)
with (out / "corpus.jsonl").open("w") as lines:
    lines.writelines(json.dumps({"_id": f"w{i}", "title": title, "text": text}) + "\n" for i, (title, text) in enumerate(corpus))
with (out / "queries.jsonl").open("w") as lines:
    lines.writelines(json.dumps({"_id": f"wq{i}", "text": text}) + "\n" for i, text in enumerate(asked))
PYTHON
}

# name, corpus, queries, queries at most
graded() {
    [ -s "$to/$1.jsonl" ] && return
    firstrank retrieve --corpus "$2" --queries "$3" --depth 40 --output "$to/$1.trec"
    firstrank data build blended --run "$to/$1.trec" --queries "$3" --corpus "$2" --first-stage 0 --words 45 \
        --bands 1-10,11-20,21-40 --size 18 --limit "$4" --output "$to/$1.jsonl"
}

# name, corpus, queries to invent
keywords() {
    [ -s "$to/$1/queries.jsonl" ] || firstrank data invent --corpus "$2" --kind keywords --count "$3" --output "$to/$1"
    graded "$1" "$to/$1" "$to/$1" "$3"
}

wikipedia
graded wikipedia-questions "$to/wikipedia" "$to/wikipedia" 3000
keywords wikipedia-keywords "$to/wikipedia" 2000
graded medquad-questions "$from/medquad" "$from/medquad" 1200
keywords scifact-keywords "$from/scifact" 400
cat "$to"/{wikipedia-questions,wikipedia-keywords,medquad-questions,scifact-keywords}.jsonl >"$to/further.jsonl.part"
mv "$to/further.jsonl.part" "$to/further.jsonl"
firstrank data check "$to/further.jsonl"
