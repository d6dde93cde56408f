"""What the documentation site makes of the code: its reference, and a page a model. Nothing here is part of the package."""
