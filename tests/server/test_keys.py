"""Keys: what their words say, what each may do, and when it ends."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from firstrank.reranker.errors import InputError
from firstrank.server.errors import Refused
from firstrank.server.keys import ApiKey, Keys, Limits
from firstrank.server.settings import load_settings


def parsed(text: str) -> ApiKey:
    return ApiKey.model_validate(ApiKey.parse(text))


def test_a_keys_words():
    found = parsed("k name=search scopes=rank+admin expires=2027-01-31 rate_limit=60 document_rate_limit=6000")
    assert (found.name, found.scopes, found.rate_limit, found.document_rate_limit) == ("search", ("rank", "admin"), 60, 6000)
    assert found.expires == datetime(2027, 2, 1, tzinfo=UTC)
    assert parsed("k expires=2027-01-31T12:00+02:00").expires == datetime(2027, 1, 31, 10, tzinfo=UTC)
    assert parsed("k").scopes == ("rank", "metrics")


@pytest.mark.parametrize("line", ["k nam=x", "k name", "k scopes=root", "k expires=soon", "k rate_limit=0", "k name=a/b"])
def test_a_line_that_is_wrong_is_named_and_its_key_is_not_shown(tmp_path, line):
    (tmp_path / "keys").write_text(f"# keys\n\ngood\n{line.replace('k', 'sk-27182', 1)}\n")
    with pytest.raises(InputError, match="keys:4: ") as raised:
        load_settings(api_keys_file=tmp_path / "keys")
    assert "sk-27182" not in str(raised.value)


def test_a_digest_stands_for_a_key():
    keys = Keys([parsed(f"sha256:{hashlib.sha256(b'secret').hexdigest()} name=ops")])
    assert keys.check("Bearer secret").name == "ops"
    with pytest.raises(Refused):
        keys.check(f"Bearer sha256:{hashlib.sha256(b'secret').hexdigest()}")


def test_scopes_and_expiry():
    keys = Keys([parsed("a scopes=metrics"), parsed("b expires=2020-01-01"), parsed("c expires=2999-01-01")])
    assert keys.check("Bearer a", "metrics").name == "0"
    for header, status in [("Bearer a", 403), ("Bearer b", 401)]:
        with pytest.raises(Refused) as refused:
            keys.check(header)
        assert refused.value.status == status
    assert keys.check("Bearer c").name == "2"


def test_a_reload_keeps_what_a_key_has_used_up():
    now = [0.0]
    keys = Keys([parsed("a rate_limit=1"), parsed("b")], clock=lambda: now[0])
    keys.check("Bearer a").charge(requests=1)
    keys.replace([parsed("a rate_limit=1 name=new"), parsed("c")])
    with pytest.raises(Refused, match="used up"):
        keys.check("Bearer a").charge(requests=1)
    assert keys.check("Bearer a").name == "new"
    with pytest.raises(Refused, match="not one of"):
        keys.check("Bearer b")


def test_keys_in_the_settings_file_may_be_mappings(tmp_path):
    (tmp_path / "serve.yaml").write_text("api_keys:\n  - plain\n  - {key: k2, name: search, scopes: [rank]}\n  - k3 name=x, k4\n")
    found = load_settings(config=tmp_path / "serve.yaml").keys()
    assert [(one.key.get_secret_value(), one.name) for one in found] == [("plain", ""), ("k2", "search"), ("k3", "x"), ("k4", "")]


def test_tokens_are_paid_for_afterwards():
    now = [0.0]
    keys = Keys([parsed("a token_rate_limit=600"), parsed("b")], Limits(token_rate_limit=60), clock=lambda: now[0])
    one, other = keys.check("Bearer a"), keys.check("Bearer b")
    one.charge(requests=1, documents=3)
    one.spend(900)  # more than there were
    with pytest.raises(Refused, match="used up its tokens") as refused:
        one.charge(requests=1)
    assert (refused.value.status, refused.value.kind) == (429, "rate_limited")
    assert refused.value.headers["retry-after"] == "31"  # 300 are owed, 10 come each second, and one must be there
    other.spend(60)
    with pytest.raises(Refused, match="there is room again in 1 s"):
        other.charge(requests=1)
    now[0] += 31
    one.charge(requests=1)
    other.charge(requests=1)


def test_a_refusal_for_tokens_uses_up_no_request():
    now = [0.0]
    keys = Keys([parsed("a token_rate_limit=10 rate_limit=1")], clock=lambda: now[0])
    one = keys.check("Bearer a")
    one.spend(10)
    with pytest.raises(Refused, match="tokens"):
        one.charge(requests=1)
    now[0] += 6
    one.charge(requests=1)
