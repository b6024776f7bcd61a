"""Front end: log-mel spectrograms and the three handcrafted features, and the dumps that hold them."""
