"""Queries and gallery, the order in which the gallery is ranked for each query, and the scores of that ranking."""
