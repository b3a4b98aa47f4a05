"""Read corpora, split them by speaker, compute features once, and make batches."""
