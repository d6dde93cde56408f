"""The service against its own description: whatever the OpenAPI document allows or forbids, answers are as it says."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable

import hypothesis
import pytest
import schemathesis
from schemathesis import checks

from firstrank.reranker.setup import Setup
from tests.server.serving import threaded

checks.load_all_checks()
CHECKS = checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "unsupported_method",
    ]
)
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def server(tiny_model):
    with threaded({"default": Setup.of(str(tiny_model), threads=1).open_scorer}, timeout=60) as url:
        yield url


def unhurried(case: schemathesis.Case) -> None:
    """A request that asks for too little time is rightly answered 504; here each legal time is half a minute."""
    headers = case.headers or {}
    with contextlib.suppress(KeyError, TypeError, ValueError):
        if 0 < float(headers["X-Request-Timeout"]) < 30:
            headers["X-Request-Timeout"] = "30"


def explore(url: str, examples: int, answered: Callable[[float], None] = lambda seconds: None) -> Counter[int]:
    """Sends cases of every operation, valid and not; gives how often each status came. `answered` is told how long each answer took."""
    statuses: Counter[int] = Counter()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for mode in MODES:
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path == "/admin/reload" or (operation.method != "post" and mode is schemathesis.GenerationMode.NEGATIVE):
                continue  # nothing can be wrong about them: they take nothing

            @hypothesis.settings(
                max_examples=examples if operation.method == "post" else 2,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def try_one(case):
                unhurried(case)
                started = time.perf_counter()
                response = case.call()
                answered(time.perf_counter() - started)
                statuses[response.status_code] += 1
                case.validate_response(response, checks=CHECKS)

            try_one()
    return statuses


def test_a_few_cases_of_each_operation(server):
    statuses = explore(server, 10)
    assert statuses[200] > 10
    assert statuses[422] > 10


@pytest.mark.slow
def test_2000_cases(server):
    statuses = explore(server, 400)
    assert statuses.total() >= 2000, statuses
    print(statuses)
