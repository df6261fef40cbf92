"""Embeddings in databases of vectors."""
