"""One JSON object a line on stderr, in ASCII: no character of a field ends the line.

Documents, queries and keys never reach the log: only fields that are named here do.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from firstrank.reranker.errors import FirstrankError, InputError

FIELDS = (
    "request_id", "method", "path", "status", "seconds", "key", "reason", "model", "documents", "windows", "prompt_tokens", "slots",
    "error", "address", "client", "key_digest", "trace_id", "access", "models", "limits", "connections", "partial", "cut", "setting",
)  # fmt: skip
"""what a record may carry as `extra`"""


class JsonLines(logging.Formatter):
    """Level, time, logger and message, and those of `FIELDS` that the record has."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line |= fault(record.exc_info[1])
        return json.dumps(line, default=str)


def fault(error: BaseException) -> dict[str, Any]:
    """An exception's type and the frames it went through.

    Its message is given only where it is ours and not about input: others may quote a document.
    """
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    ours = isinstance(error, FirstrankError) and not isinstance(error, InputError)
    return {"exception": type(error).__name__, "frames": frames} | ({"error": str(error)} if ours else {})


def configure(level: str) -> None:
    """Sends all loggers to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    for name in ("firstrank", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
