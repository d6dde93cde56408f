#!/usr/bin/env bash
# The examples that the default model is trained on: bash smollm2-data.sh COLLECTIONS OUTPUT writes OUTPUT/train.jsonl.
# COLLECTIONS holds BEIR folders medquad, selqa, scifact, xquad-en, hotpotqa-100. Needs pip install 'firstrank[dense]'. Goes on where it stopped.
# Test queries of SciFact and SelQA are not touched; xquad-en and hotpotqa-100 keep training data in a file called test.tsv.
set -euo pipefail
from=$1 to=$2
mkdir -p "$to"

# name, folder, split, queries at most, passages of an example
blend() {
    [ -s "$to/$1.jsonl" ] && return
    local folder=$2
    firstrank retrieve --corpus "$folder" --queries "$folder" --qrels "$folder/qrels/$3.tsv" --output "$to/$1.trec"
    firstrank data build blended --run "$to/$1.trec" --queries "$folder" --corpus "$folder" --qrels "$folder/qrels/$3.tsv" --limit "$4" --size "$5" --output "$to/$1.jsonl"
}

# name, folder, kind, queries
invented() {
    [ -s "$to/$1.jsonl" ] && return
    firstrank data invent --corpus "$2" --kind "$3" --count "$4" --output "$to/$1"
    blend "$1" "$to/$1" train "$4" 12
}

blend scifact "$from/scifact" train 809 24
blend selqa "$from/selqa" train 785 24
blend xquad "$from/xquad-en" test 1190 24
blend hotpotqa "$from/hotpotqa-100" test 100 10
blend medquad "$from/medquad" train 900 24
invented scifact-titles "$from/scifact" titles 350
cat "$to"/{scifact,selqa,xquad,hotpotqa,medquad,scifact-titles}.jsonl >"$to/train.jsonl.part"
mv "$to/train.jsonl.part" "$to/train.jsonl"
firstrank data check "$to/train.jsonl"
