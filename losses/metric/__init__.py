"""Losses of metric learning, and the miners that choose their pairs and triplets."""
