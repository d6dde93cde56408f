#!/usr/bin/env bash
# The same training of first-smollm2 on SciFact's judgments, four times: FIRST's objective in fp32 and in bf16, LambdaRank alone, and policy
# gradients alone. Same windows, tokens and seed; 40 steps of 8 windows.
#
#     bash benchmarks/objectives.sh shared/data/scifact runs/objectives [RUN …]
#
# RUN is float32, bfloat16, lambdarank or plackett_luce. Then the adapters and the model as it was rerank the first 20 candidates of 100 test
# queries, and are compared. Losses are in OUTPUT/RUN/log.jsonl. Goes on where it stopped.
set -euo pipefail
from=$1 to=$2
shift 2
(($#)) || set -- bfloat16 lambdarank plackett_luce float32
mkdir -p "$to"
for split in train test; do
    [ -s "$to/$split.trec" ] || firstrank retrieve --corpus "$from" --queries "$from" --qrels "$from/qrels/$split.tsv" --depth 30 --output "$to/$split.trec"
done
[ -s "$to/train.jsonl" ] || firstrank data build qrels --run "$to/train.trec" --qrels "$from" --queries "$from" --corpus "$from" \
    --bands 1-10,11-30 --size 12 --seed 1 --output "$to/train.jsonl"

trained() {
    [ -s "$to/$1/finished.json" ] || firstrank train "$to/recipe.yaml" output="$to/$1" "${@:2}"
    ranked "$1" "$to/$1/adapter"
}

ranked() {
    [ -s "$to/$1.trec" ] || firstrank rerank --model "$2" --run "$to/test.trec" --queries "$from" --corpus "$from" \
        --strategy full --depth 20 --limit 100 --output "$to/$1.trec"
}

cat >"$to/recipe.yaml" <<YAML
model: first-smollm2
train: $to/train.jsonl
output: unsaid
steps: 40
threads: ${OMP_NUM_THREADS:-1}
draw: {window: [6, 10], passage_tokens: [40, 48]}
serve: {window: 20, passage_tokens: 48, excerpt: query}
tuning: {method: lora, precision: mixed, lora: {rank: 8, alpha: 16, layers: [15, 29]}}
optimiser: {lr: 2.0e-4, schedule: cosine, warmup: 4}
batch: {windows: 4, accumulation: 2}
checkpoints: {every: 10, keep: 1}
export: {merged: false}
YAML
for run in "$@"; do
    case $run in
        float32) trained "$run" tuning.precision=float32 ;;
        bfloat16) trained "$run" ;;
        lambdarank) trained "$run" loss.rank.name=lambdarank loss.lm.weight=0 ;;
        plackett_luce) trained "$run" loss.rank.name=plackett_luce loss.lm.weight=0 loss.start.weight=0.1 ;;
        *) echo "$run: no such run" >&2 && exit 2 ;;
    esac
done
ranked before first-smollm2
runs=(--run "$to/before.trec")
for run in "$@"; do runs+=(--run "$to/$run.trec"); done
firstrank eval --qrels "$from/qrels/test.tsv" "${runs[@]}" --limit 100 --output "$to/report"
