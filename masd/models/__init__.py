"""The encoder, what is pooled from it, and the models that are trained on top."""
