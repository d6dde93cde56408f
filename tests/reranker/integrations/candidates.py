"""A query and its candidates, for every adapter the same."""

from __future__ import annotations

QUERY = "who wrote Emma?"
TEXTS = [
    "Bees make honey.",
    "Jane Austen wrote Emma.",
    "Persuasion appeared in 1817.",
    "",
    "The Thames flows through London.",
    "Emma is a novel of 1815.",
    "Honey keeps for years.",
]
