"""Photographs sorted with few labels or none."""
