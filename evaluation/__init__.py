"""Frozen features and what they are worth: linear probe, kNN, retrieval, and the ledger of results."""
