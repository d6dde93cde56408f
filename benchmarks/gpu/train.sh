#!/usr/bin/env bash
# Training on this machine's GPU in ten minutes: bash benchmarks/gpu/train.sh [--smoke]. Tokens a second and the share of the device's peak for
# SmolLM2's shape (LoRA, all weights) and for a 7B in Mistral's (LoRA), then the recipe `tiny`, from data to a trained model. --smoke does
# it with tiny shapes, on a CPU too. Needs the package installed here; the default model's weights come from the package index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m benchmarks.training device "$@"

"$python" examples/pydocs/build.py "$scratch/pydocs"
data=(--queries "$scratch/pydocs" --corpus "$scratch/pydocs")
"$python" -m firstrank retrieve "${data[@]}" --depth 20 --output "$scratch/bm25.trec"
"$python" -m firstrank data build qrels --run "$scratch/bm25.trec" --qrels "$scratch/pydocs" --split test "${data[@]}" --size 5 --bands 1-20 --output "$scratch/train.jsonl"
steps=10
[[ "${1:-}" == --smoke ]] && steps=1
time "$python" -m firstrank train tiny model=smollm2-base train="$scratch/train.jsonl" output="$scratch/run" steps=$steps
tail -n 1 "$scratch/run/log.jsonl"
