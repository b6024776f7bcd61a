"""What makes any stage resumable: marks, shards, locks, whole files, progress, seeds."""
