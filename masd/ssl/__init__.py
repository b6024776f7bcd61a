"""Self-supervised pretraining: three objectives, vocoder curriculum, training loop (Sec. II-A.2-3)."""
