"""Weights: found, read without running their code, and matched to a network by name or order."""
