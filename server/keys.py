"""Bearer keys: what each may do, how long it is valid, and how much it may ask for."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from firstrank.reranker.errors import InputError
from firstrank.server.errors import Refused

Scope = Literal["rank", "metrics", "admin"]
_HINT = "send the header 'Authorization: Bearer KEY'"
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


def _scopes(given: Any) -> Any:
    return re.split(r"[+,\s]+", given.strip()) if isinstance(given, str) else given


def _moment(given: Any) -> Any:
    """A day, to its end, or a moment; without a time zone it is UTC."""
    if isinstance(given, str):
        given = date.fromisoformat(given) if re.fullmatch(r"\d{4}-\d\d-\d\d", given) else datetime.fromisoformat(given)
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC) + timedelta(days=1)
    return given


class Limits(BaseModel):
    """What a key may ask for in a minute. None is no limit of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_limit: int | None = Field(default=None, ge=1, description="requests a minute")
    document_rate_limit: int | None = Field(default=None, ge=1, description="documents a minute")
    token_rate_limit: int | None = Field(default=None, ge=1, description="tokens a minute that the model reads and writes")

    def over(self, other: Limits) -> Limits:
        """These, and the other's where these are None."""
        return Limits(**{name: getattr(self, name) or getattr(other, name) for name in Limits.model_fields})


class ApiKey(Limits):
    """One key: `KEY`, `KEY name=search scopes=rank+metrics expires=2027-01-31 rate_limit=60`, or a mapping with these names."""

    key: SecretStr = Field(min_length=1, description="the key itself, or sha256: and its digest in hex")
    name: str = Field("", max_length=64, pattern=r"^[\w.-]*$", description="what logs call it")
    scopes: Annotated[tuple[Scope, ...], BeforeValidator(_scopes)] = Field(("rank", "metrics"), min_length=1)
    expires: Annotated[datetime | None, BeforeValidator(_moment)] = None

    @classmethod
    def parse(cls, given: Any) -> Any:
        """A mapping of a line's words; what is no text is left as it is."""
        if not isinstance(given, str):
            return given
        key, *more = given.split() or [""]
        pairs = [word.partition("=") for word in more]
        if wrong := [name for name, equals, value in pairs if not (equals and value)]:
            raise ValueError(f"after a key, write NAME=VALUE (name, scopes, expires, rate_limit …), not {wrong[0][:20]!r}")
        return {"key": key} | {name: value for name, _, value in pairs}

    @property
    def digest(self) -> bytes:
        text = self.key.get_secret_value()
        return bytes.fromhex(found[1]) if (found := _SHA256.fullmatch(text)) else digest_of(text.encode())


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """A file's keys, one a line; # begins a comment. Raises InputError that names file and line, and where there is no key."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"api_keys_file {path}: cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            found.append(ApiKey.model_validate(ApiKey.parse(line)))
        except ValidationError as error:
            one = error.errors()[0]
            raise InputError(f"api_keys_file {path}:{number}: {'.'.join(map(str, one['loc']))}: {one['msg']}") from error
        except ValueError as error:
            raise InputError(f"api_keys_file {path}:{number}: {error}") from error
    if not found:
        raise InputError(f"api_keys_file {path}: holds no key; write one a line")
    return tuple(found)


class Bucket:
    """So many a minute; a minute's worth may be spent at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity = self._left = float(per_minute)
        self._clock, self._at = clock, clock()

    def take(self, count: int = 1) -> float:
        """0 where they were there, else the seconds until they will be. More than a minute's worth waits for a full bucket."""
        if (wait := self.wait(count)) == 0:
            self._left -= count
        return wait

    def wait(self, count: int = 1) -> float:
        """The seconds until so many are there; takes none."""
        now = self._clock()
        per_second = self._capacity / 60
        self._left = min(self._capacity, self._left + (now - self._at) * per_second)
        self._at = now
        return max(0.0, min(float(count), self._capacity) - self._left) / per_second

    def owe(self, count: int) -> None:
        """Takes what was used already, whether it is there or not."""
        self._left -= count


class Known:
    """A key of the service, as it compares and counts."""

    def __init__(self, key: ApiKey, name: str, limits: Limits, clock: Callable[[], float]) -> None:
        self.name, self.scopes, self.expires, self.digest, self.limits = name, key.scopes, key.expires, key.digest, limits
        counted = (limits.rate_limit, limits.document_rate_limit, limits.token_rate_limit)
        self._requests, self._documents, self._tokens = (Bucket(limit, clock) if limit else None for limit in counted)

    def charge(self, *, requests: int = 0, documents: int = 0) -> None:
        """Raises Refused 429 where the key has asked for too much, or its earlier requests have used up their tokens."""
        if self._tokens is not None:
            _refuse(self._tokens.wait(), "tokens")
        for bucket, count, what in ((self._requests, requests, "requests"), (self._documents, documents, "documents")):
            if bucket is not None and count:
                _refuse(bucket.take(count), what)

    def spend(self, tokens: int) -> None:
        """Tokens that a request took. How many that is shows only afterwards, so they may be more than there were."""
        if self._tokens is not None:
            self._tokens.owe(tokens)


_UNLIMITED = Limits(rate_limit=None, document_rate_limit=None, token_rate_limit=None)


class Keys:
    """A set of keys. They are kept and compared as digests, all of them for each request, so that timing tells nothing."""

    def __init__(
        self,
        keys: Sequence[ApiKey] = (),
        limits: Limits = _UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._known: list[Known] = []
        self.replace(keys, limits)

    def replace(self, keys: Sequence[ApiKey], limits: Limits = _UNLIMITED) -> None:
        """From now on these keys, with `limits` where they have none of their own.

        One that stays, with the limits that it had, keeps what it has used up.
        """
        before = {one.digest: one for one in self._known}
        fresh = []
        for number, key in enumerate(keys):
            one = Known(key, key.name or str(number), key.over(limits), self._clock)
            if (old := before.get(one.digest)) is not None and old.limits == one.limits:
                old.name, old.scopes, old.expires = one.name, one.scopes, one.expires
                one = old
            fresh.append(one)
        self._known = fresh

    def __bool__(self) -> bool:
        return bool(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def check(self, authorization: str | None, scope: Scope = "rank") -> Known:
        """The key that a header names. Raises Refused: 401 without a valid one, 403 for one that may not do this."""
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized(f"this service needs a key: {_HINT}")
        digest = digest_of(key.strip().encode("latin-1", "replace"))  # headers are latin-1: these are the bytes that were sent
        found = [known for known in self._known if hmac.compare_digest(known.digest, digest)]
        if not found:
            raise _unauthorized(f"the key is not one of this service's: {_HINT}", digest)
        one = found[0]
        if one.expires is not None and datetime.now(UTC) >= one.expires:
            raise _unauthorized(f"the key {one.name!r} has expired", digest)
        if scope not in one.scopes:
            raise Refused(403, f"the key {one.name!r} may not do this: it needs the scope {scope!r}, and has {', '.join(one.scopes)}")
        return one


def digest_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _refuse(wait: float, what: str) -> None:
    """Raises Refused 429 where there is something to wait for."""
    if wait > 0:
        message = f"this key has used up its {what} of this minute; there is room again in {wait:.0f} s"
        raise Refused(429, message, kind="rate_limited", retry_after=int(wait) + 1)


def _unauthorized(message: str, digest: bytes = b"") -> Refused:
    refused = Refused(401, message, headers={"www-authenticate": "Bearer"})
    refused.logged = {"key_digest": digest.hex()[:8]} if digest else {}
    return refused
