"""YAML and JSON files become settings and targets; every problem is told at once, with its place."""
