#!/usr/bin/env bash
# The examples of smollm2-broader.yaml: bash smollm2-broader-data.sh COLLECTIONS OUTPUT writes OUTPUT/broader.jsonl; smollm2-further-data.sh comes
# first, with the same OUTPUT, for its corpus of Wikipedia. Needs pip install 'firstrank[dense]' and a package index. Goes on where it stopped.
# Documentation joins what the model was taught on, and first sentences that ask for the rest join questions and keywords. BM25's first 100,
# as in use, not 40. MiniLM grades; nobody's judgments. Test queries of SciFact and SelQA, and what examples/pydocs judges, are not touched.
set -euo pipefail
from=$1 to=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$to/documentation"

# Permissive licences all (BSD, MIT, Apache-2.0, HPND, PSF's).
packages=(aiohttp==3.14.5 anyio==4.16.0 arrow==1.4.0 attrs==26.1.0 beautifulsoup4==4.15.0 boltons==26.2.0 celery==5.7.0 click==8.5.1 dask==2026.8.0
    distributed==2026.8.0 django==5.2.19 fsspec==2026.9.0 jinja2==3.1.6 joblib==1.6.0 lxml==6.1.3 matplotlib==3.11.2 more-itertools==11.2.1 networkx==3.6.1
    nltk==3.10.4 numpy==2.4.6 pandas==3.1.1 pillow==13.0.0 psutil==7.2.2 pydantic==2.14.4 pyparsing==3.3.3 python-dateutil==4.0.0 requests==2.34.2
    rich==15.0.0 scikit-learn==1.9.1 sortedcontainers==2.4.0 sqlalchemy==2.1.9 toolz==1.2.0 tornado==6.6.1 twisted==26.10.0 urllib3==2.8.0
    werkzeug==3.1.9 xarray==2026.9.0)

documentation() {
    [ -s "$to/documentation/corpus.jsonl" ] && return
    pip download --quiet --no-deps --only-binary :all: --dest "$to/documentation/wheels" "${packages[@]}"
    python "$here/../../examples/pydocs/build.py" "$to/documentation/pydocs"
    python "$here/docstrings.py" "$to/documentation/wheels" "$to/documentation/pydocs/corpus.jsonl" >"$to/documentation/corpus.part"
    mv "$to/documentation/corpus.part" "$to/documentation/corpus.jsonl"
}

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

documentation
invented documentation-sentences sentences "$to/documentation/corpus.jsonl" 1200
invented documentation-keywords keywords "$to/documentation/corpus.jsonl" 700
graded wikipedia-asked "$to/wikipedia" 1000
invented wikipedia-sentences sentences "$to/wikipedia" 700
graded medquad-asked "$from/medquad" 400
invented scifact-words keywords "$from/scifact" 300
cat "$to"/{documentation-sentences,documentation-keywords,wikipedia-asked,wikipedia-sentences,medquad-asked,scifact-words}.jsonl >"$to/broader.jsonl.part"
mv "$to/broader.jsonl.part" "$to/broader.jsonl"
firstrank data check "$to/broader.jsonl"
