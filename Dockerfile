# Serves a named model on NVIDIA GPUs: docker build -t firstrank . && docker run --gpus all -p 8000:8000 -v firstrank:/cache firstrank
# The driver comes from the host; vLLM's wheels bring the rest of CUDA. The compiler is for the kernels that Triton makes at start-up.
FROM nvidia/cuda:12.9.1-base-ubuntu24.04

# hadolint ignore=DL3008  # the release's own updates are wanted: they mend security
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv python3-dev gcc g++ \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/firstrank/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
ARG VLLM=0.32.0
RUN python3 -m venv /opt/firstrank && pip install "vllm==${VLLM}"

# Firstrank after vLLM: a change of it builds in seconds.
COPY pyproject.toml README.md LICENSE /src/
COPY firstrank /src/firstrank
COPY configs /src/configs
COPY reranker /src/reranker
COPY server /src/server
COPY training /src/training
COPY eval /src/eval
RUN pip install "/src[vllm]" && pip check && firstrank --help > /dev/null

# Weights, compiled kernels and logs: one volume, so that a new container starts with what the last one had. Nothing is written elsewhere but in
# /tmp: the rest may be read-only (docker run --read-only --tmpfs /tmp).
RUN useradd --uid 10001 --create-home firstrank && install --directory --owner firstrank /cache
USER 10001
VOLUME /cache
ENV HOME=/cache FIRSTRANK_CACHE=/cache/firstrank HF_HOME=/cache/huggingface VLLM_CACHE_ROOT=/cache/vllm TRITON_CACHE_DIR=/cache/triton \
    FIRSTRANK_MODEL=first-mistral FIRSTRANK_BACKEND=vllm FIRSTRANK_HOST=0.0.0.0 FIRSTRANK_PORT=8000

EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive is not ready: a balancer asks /ready, which is true once the model is loaded.
HEALTHCHECK --interval=15s --timeout=5s --start-period=15m --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["firstrank"]
CMD ["serve"]
