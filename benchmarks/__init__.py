"""What is measured rather than tested: `python -m benchmarks.NAME`, from the repository's root. See README.md beside this file."""
