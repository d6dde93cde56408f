#!/usr/bin/env bash
# Reranking a TREC run from the command line: texts, a first stage, and the first stage reranked with its measures.
#   examples/rerank_run.sh [MODEL] [FOLDER]
set -euo pipefail
model="${1:-default}" folder="${2:-runs/pydocs}"
here="$(dirname "$0")"
mkdir -p "$folder"

python "$here/pydocs/build.py" "$folder/beir"
firstrank retrieve --queries "$folder/beir" --corpus "$folder/beir" --output "$folder/bm25.trec"

# The first ten queries of the run, for a quick look; leave this out for all hundred.
awk '!($1 in seen) { seen[$1]; n++ } n <= 10' "$folder/bm25.trec" > "$folder/ten.trec"

firstrank rerank --run "$folder/ten.trec" --queries "$folder/beir" --corpus "$folder/beir" \
    --model "$model" --depth 20 --trace "$folder/trace.jsonl" --output "$folder/reranked.trec"
head -3 "$folder/reranked.trec"
