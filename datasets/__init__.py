"""Photographs on disk become batches of views."""
