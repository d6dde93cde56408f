"""What an attacker may try of the service: each of it answered, and nothing of it done."""

from __future__ import annotations

import ast
import json
import logging
from pathlib import Path

import pytest

from firstrank.reranker.errors import ModelError
from firstrank.server.keys import ApiKey, Keys
from firstrank.server.logs import JsonLines
from firstrank.server.paths import DOCS, PAGE
from firstrank.server.registry import Opener
from firstrank.server.settings import load_settings
from tests.server.serving import body, in_loop, serving

KEY = "sk-3141592653"
LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
NAMES = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "a/../b", "%2e%2e/secret", "http://127.0.0.1:1/", "file:///etc/passwd", "gpt2",
    "org/model", "\x00", "default\x00", "default ", "DEFAULT", "default/../default", "C:\\models", "~/model", "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("field", ["model", "base_url", "backend", "revision", "source", "trust_remote_code", "engine_arg"])
@in_loop
async def test_a_request_opens_no_model_and_names_no_server(field):
    """`model` chooses among those that are served; the other names mean nothing in a request."""
    opened: list[str] = []
    async with serving() as client:
        registry = client.app.state.service.registry
        for model in registry.models.values():
            model.opener = lambda: opened.append("opened")
        for name in NAMES:
            answer = await client.post("/rerank", json=body("1", "2") | {field: name})
            assert answer.status_code == (404 if field == "model" else 200), (name, answer.text)
        assert [*registry.models] == ["default"]
    assert opened == []


@in_loop
async def test_a_path_to_a_model_walks_nowhere():
    async with serving() as client:
        for name in NAMES[:-1]:
            spelled = "".join(f"%{byte:02X}" for byte in name.encode())  # or the client itself would walk
            answer = await client.get(f"http://test/v1/models/{spelled}")
            assert answer.status_code in (404, 405), (name, answer.text)
            assert "root:" not in answer.text


@in_loop
async def test_the_pages_policy_lets_no_code_in():
    async with serving() as client:
        for path in (*PAGE, *DOCS):
            policy = (await client.get(path)).headers["content-security-policy"] if path != "/openapi.json" else "default-src 'self'"
            told = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
            assert told["default-src"] == "'self'"
            assert "script-src" not in told
            assert "unsafe-eval" not in policy
            assert ("unsafe-inline" in policy) <= (path in DOCS)


def test_the_page_has_no_code_inside():
    """What the policy would block: scripts and styles in the HTML, and handlers in its attributes."""
    static = Path(__file__).parents[2] / "server/page/static"
    for page in ("index.html", "docs.html"):
        text = (static / page).read_text()
        assert "<style" not in text
        assert " style=" not in text
        assert " on" not in "".join(part.partition(">")[0] for part in text.split("<")[1:] if "=" in part).replace(" one", "")
        assert all("src=" in part.partition(">")[0] for part in text.split("<script")[1:])
    for script in ("page.js", "docs.js"):
        text = (static / script).read_text()
        assert not [word for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if word in text]


def logged(**fields: object) -> str:
    record = logging.LogRecord("firstrank.requests", logging.INFO, __file__, 1, "request", None, None)
    record.__dict__.update(fields)
    return JsonLines().format(record)


@pytest.mark.parametrize("field", ["request_id", "client", "key", "model", "error", "path", "method"])
def test_no_field_ends_a_line_of_the_log(field):
    forged = f'x{LINE_ENDS}{{"level": "info", "message": "request", "status": 200}}\x1b[2J\ud800'
    line = logged(**{field: forged})
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)[field] == forged
    assert json.loads(line)["message"] == "request"


@in_loop
async def test_a_request_id_that_could_forge_is_replaced():
    async with serving() as client:
        for given in ("a\x85b", 'x" , "status": 200', "a b", "ü", "x" * 129, "a\u2028b", "<script>", "%0a", ""):
            answer = await client.get("/health", headers={"x-request-id": given.encode()})
            assert len(answer.headers["x-request-id"]) == 32
        assert (await client.get("/health", headers={"x-request-id": "trace-1:a/b"})).headers["x-request-id"] == "trace-1:a/b"


def test_keys_are_compared_in_constant_time(monkeypatch):
    """Each of them, for each request, by `hmac.compare_digest`."""
    compared: list[tuple[bytes, bytes]] = []
    real = __import__("hmac").compare_digest
    monkeypatch.setattr(
        "firstrank.server.keys.hmac.compare_digest", lambda one, other: bool(compared.append((one, other))) or real(one, other)
    )
    keys = Keys([ApiKey.model_validate({"key": f"{KEY}-{i}"}) for i in range(5)])
    assert keys.check(f"Bearer {KEY}-0").name == "0"
    assert len(compared) == 5
    assert all(len(one) == len(other) == 32 for one, other in compared)


def test_the_service_compares_no_secret_with_equals():
    """Nothing in `server/` compares a `key`, `token`, `digest` or `secret` by == but where a reload looks for its own."""
    found = []
    for path in sorted((Path(__file__).parents[2] / "server").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq | ast.In) for one in node.ops):
                names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
                    part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
                }
                if names & {"digest", "secret", "get_secret_value", "authorization"}:
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_settings_show_no_key():
    settings = load_settings(api_keys=[KEY], model="default")
    for text in (repr(settings), str(settings), repr(settings.keys()), settings.model_dump_json(), repr(Keys(settings.keys()).__dict__)):
        assert KEY not in text


@in_loop
async def test_what_a_server_behind_said_is_not_told_to_clients():
    """An error that is not about the request may hold an address: the client gets the sentence, and no frames."""

    def opener() -> object:
        raise ModelError("http://10.0.0.7:8000: 401: the server wants a key")

    openers: dict[str, Opener] = {"default": opener}  # type: ignore[dict-item]  # it never returns
    async with serving(openers=openers, ready=False) as client:
        answer = await client.post("/rerank", json=body("1", "2"))
    assert answer.status_code == 503
    assert "10.0.0.7" not in answer.text
