#!/usr/bin/env bash
# The examples of smollm2-cpu.yaml: bash smollm2-data.sh COLLECTIONS OUTPUT writes OUTPUT/train.jsonl.
# COLLECTIONS holds BEIR folders medquad, selqa, scifact, xquad-en, hotpotqa-100. Needs pip install 'firstrank[dense]' and a package index.
# Goes on where it stopped. Candidates are BM25's first 40, hard to tell apart; MiniLM grades, and what judges called an answer to one of
# Wikipedia's questions goes on top. Test queries of SciFact and SelQA, and what examples/pydocs judges, are not touched.
set -euo pipefail
from=$1 to=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$to"

# name, folder of corpus and queries, queries at most, more options of data build
graded() {
    [ -s "$to/$1.jsonl" ] && return
    firstrank retrieve --corpus "$2" --queries "$2" --depth 40 --output "$to/$1.trec"
    firstrank data build blended --run "$to/$1.trec" --queries "$2" --corpus "$2" --first-stage 0 --words 60 \
        --bands 1-10,11-20,21-40 --size 20 --limit "$3" --seed 1 "${@:4}" --output "$to/$1.jsonl"
}

# name, kind, corpus, queries to invent
invented() {
    [ -s "$to/$1/queries.jsonl" ] || firstrank data invent --corpus "$3" --kind "$2" --count "$4" --seed 1 --output "$to/$1"
    graded "$1" "$to/$1" "$4"
}

[ -s "$to/wikipedia/qrels/train.tsv" ] || python "$here/wikipedia.py" "$from" "$to/wikipedia"
bash "$here/documentation.sh" "$to/documentation"
graded wikipedia-questions "$to/wikipedia" 2100 --qrels "$to/wikipedia/qrels/train.tsv"
invented wikipedia-keywords keywords "$to/wikipedia" 900
graded medquad-questions "$from/medquad" 700
invented scifact-keywords keywords "$from/scifact" 220
invented documentation-sentences sentences "$to/documentation/corpus.jsonl" 260
invented documentation-keywords keywords "$to/documentation/corpus.jsonl" 220
invented wikipedia-sentences sentences "$to/wikipedia" 180
cat "$to"/{wikipedia-questions,wikipedia-keywords,medquad-questions,scifact-keywords,documentation-sentences,documentation-keywords,wikipedia-sentences}.jsonl >"$to/train.jsonl.part"
mv "$to/train.jsonl.part" "$to/train.jsonl"
firstrank data check "$to/train.jsonl"
