"""The training loop: checkpoints, several processes, precision."""
