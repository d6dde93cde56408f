"""Other tools beside ours: the same requests, the same weights, in turn. README.md says how to make the environment."""
