"""Firstrank: listwise LLM reranking from the first token's logits.

>>> from firstrank import Reranker
>>> Reranker("default").rank("who wrote Emma?", ["Bees make honey.", "Jane Austen wrote Emma."])[0].docid
'1'

The library's names are here, and docs/library.md says what each is for; `firstrank.server`, `firstrank.training` and `firstrank.eval` are
the other three packages. In the repository these four are folders at the top, and this folder holds links to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firstrank import reranker as _library

__all__ = _library.__all__

if TYPE_CHECKING:
    from firstrank.reranker import *  # noqa: F403 - the names are the library's own
    from firstrank.reranker import __version__ as __version__
else:

    def __getattr__(name: str) -> Any:
        """Each name is imported when it is first asked for."""
        if name in __all__:
            return getattr(_library, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "eval", "reranker", "server", "training"])
