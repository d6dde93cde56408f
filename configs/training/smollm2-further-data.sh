#!/usr/bin/env bash
# The examples of smollm2-further.yaml: bash smollm2-further-data.sh COLLECTIONS OUTPUT writes OUTPUT/further.jsonl.
# COLLECTIONS holds BEIR folders medquad, selqa, scifact, xquad-en, hotpotqa-100. Needs pip install 'firstrank[dense]'. Goes on where it stopped.
# Nobody's judgments: questions and keywords, graded by MiniLM alone, which reads as much of a passage as training shows. Candidates are
# BM25's first 40, so that most of a window is hard to tell apart. Test queries of SciFact and SelQA are not touched.
set -euo pipefail
from=$1 to=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$to"

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

[ -s "$to/wikipedia/queries.jsonl" ] || python "$here/wikipedia.py" "$from" "$to/wikipedia"
graded wikipedia-questions "$to/wikipedia" "$to/wikipedia" 3000
keywords wikipedia-keywords "$to/wikipedia" 2000
graded medquad-questions "$from/medquad" "$from/medquad" 1200
keywords scifact-keywords "$from/scifact" 400
cat "$to"/{wikipedia-questions,wikipedia-keywords,medquad-questions,scifact-keywords}.jsonl >"$to/further.jsonl.part"
mv "$to/further.jsonl.part" "$to/further.jsonl"
firstrank data check "$to/further.jsonl"
