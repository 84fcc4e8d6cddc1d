"""The only place that knows Mixpeek's wire."""
