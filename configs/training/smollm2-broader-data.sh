#!/usr/bin/env bash
# The examples of smollm2-broader.yaml: bash smollm2-broader-data.sh COLLECTIONS OUTPUT writes OUTPUT/broader.jsonl; smollm2-further-data.sh comes
# first, with the same OUTPUT, for its corpus of Wikipedia. Needs pip install 'firstrank[dense]' and a package index. Goes on where it stopped.
# Documentation joins what the model was taught on, and first sentences that ask for the rest join questions and keywords. BM25's first 100,
# as in use, not 40. MiniLM grades; nobody's judgments. Test queries of SciFact and SelQA, and what examples/pydocs judges, are not touched.
set -euo pipefail
from=$1 to=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$to"

# name, folder of corpus and queries, queries at most
graded() {
    [ -s "$to/$1.jsonl" ] && return
    firstrank retrieve --corpus "$2" --queries "$2" --depth 100 --output "$to/$1.trec"
    firstrank data build blended --run "$to/$1.trec" --queries "$2" --corpus "$2" --first-stage 0 --words 60 \
        --bands 1-10,11-25,26-100 --size 22 --limit "$3" --seed 1 --output "$to/$1.jsonl"
}

# name, kind, corpus, queries to invent
invented() {
    [ -s "$to/$1/queries.jsonl" ] || firstrank data invent --corpus "$3" --kind "$2" --count "$4" --seed 1 --output "$to/$1"
    graded "$1" "$to/$1" "$4"
}

bash "$here/documentation.sh" "$to/documentation"
invented documentation-sentences sentences "$to/documentation/corpus.jsonl" 1200
invented documentation-keywords keywords "$to/documentation/corpus.jsonl" 700
graded wikipedia-asked "$to/wikipedia" 1000
invented wikipedia-sentences sentences "$to/wikipedia" 700
graded medquad-asked "$from/medquad" 400
invented scifact-words keywords "$from/scifact" 300
cat "$to"/{documentation-sentences,documentation-keywords,wikipedia-asked,wikipedia-sentences,medquad-asked,scifact-words}.jsonl >"$to/broader.jsonl.part"
mv "$to/broader.jsonl.part" "$to/broader.jsonl"
firstrank data check "$to/broader.jsonl"
