"""The version, as in pyproject.toml (a test compares them): asking the package takes 10 ms at every start."""

VERSION = "0.1.0"
