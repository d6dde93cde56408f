"""What stands in a page in place of generated text: `<!-- made: NAME -->`, or `<!-- made: NAME ARGUMENT -->`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from docs.generators import commands, errors, faults, keys, models, names, service

MARKER = re.compile(r"^<!-- made: ([\w-]+)(?: ([\w.-]+))? -->$", re.MULTILINE)

MAKERS: Mapping[str, Callable[..., str]] = {
    "commands": commands.page,
    "errors": errors.page,
    "faults": faults.page,
    "http-errors": errors.http_page,
    "keys": keys.page,
    "model": models.page,
    "models": models.list_page,
    "names": names.page,
    "service": service.page,
}


def expanded(text: str) -> str:
    """A page with what its markers stand for. Raises KeyError for a marker that nothing makes."""
    return MARKER.sub(lambda marker: MAKERS[marker[1]](*filter(None, [marker[2]])), text)
