#!/usr/bin/env bash
# What this machine's GPU gives: bash benchmarks/gpu/run.sh [--smoke] [--output DIR] [--stages NAME …]. Ends within nine minutes; what was
# measured by then is in DIR/gpu.json and DIR/gpu.md (by default gpu-results/), which are written after each figure.
# Needs torch, transformers and what `pip install -e .` brings, and nothing from a network. --smoke does all of it on a CPU with tiny shapes,
# to see that it works: its figures mean nothing.
#
# Where the machine has no network, take what it lacks along as wheels (a few MB; torch and transformers are there already):
#   pip download --only-binary=:all: --python-version 3.12 --no-deps --dest wheels annotated-types bm25s fastapi fastapi-offline gguf \
#       ir-measures pydantic pydantic-core PyStemmer pytrec-eval-terrier starlette uvicorn
#   pip wheel --no-deps --wheel-dir wheels .        # the package itself: its commands are found by what an installation says
# and there
#   pip install --no-index --no-deps --target site wheels/*.whl && PYTHONPATH=site bash benchmarks/gpu/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
limit=540
[[ " $* " == *" --smoke "* ]] && limit=3600
exec timeout --signal=INT "$limit" "${PYTHON:-python}" -m benchmarks.gpu.run "$@"
