"""Builders of training examples, and the check of what they built. Each is a generator of examples from sources that exist."""
