"""Frozen features: extracted once, kept on disk, and the encoder that they are of."""
