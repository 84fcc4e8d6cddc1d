"""What records a result: one file a sink, each fed Recorded."""
