#!/usr/bin/env bash
# Docstrings of 37 packages as a corpus: bash documentation.sh OUTPUT writes OUTPUT/corpus.jsonl. Needs a package index. What examples/pydocs
# judges is left out.
set -euo pipefail
to=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -s "$to/corpus.jsonl" ] && exit
mkdir -p "$to"

# Permissive licences all (BSD, MIT, Apache-2.0, HPND, PSF's).
packages=(aiohttp==3.14.5 anyio==4.16.0 arrow==1.4.0 attrs==26.1.0 beautifulsoup4==4.15.0 boltons==26.2.0 celery==5.7.0 click==8.5.1 dask==2026.8.0
    distributed==2026.8.0 django==5.2.19 fsspec==2026.9.0 jinja2==3.1.6 joblib==1.6.0 lxml==6.1.3 matplotlib==3.11.2 more-itertools==11.2.1 networkx==3.6.1
    nltk==3.10.4 numpy==2.4.6 pandas==3.1.1 pillow==13.0.0 psutil==7.2.2 pydantic==2.14.4 pyparsing==3.3.3 python-dateutil==4.0.0 requests==2.34.2
    rich==15.0.0 scikit-learn==1.9.1 sortedcontainers==2.4.0 sqlalchemy==2.1.9 toolz==1.2.0 tornado==6.6.1 twisted==26.10.0 urllib3==2.8.0
    werkzeug==3.1.9 xarray==2026.9.0)

pip download --quiet --no-deps --only-binary :all: --dest "$to/wheels" "${packages[@]}"
python "$here/../../examples/pydocs/build.py" "$to/pydocs"
python "$here/docstrings.py" "$to/wheels" "$to/pydocs/corpus.jsonl" >"$to/corpus.part"
mv "$to/corpus.part" "$to/corpus.jsonl"
