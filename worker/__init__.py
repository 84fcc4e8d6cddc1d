"""plugin-probe: finds out first when a Mixpeek plugin breaks."""
