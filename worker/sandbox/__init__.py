"""The Mixpeek plugin API served locally over plugin folders, with faults on demand."""
