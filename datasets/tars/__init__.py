"""Photographs in tar archives, read where they lie: which archives, what is in them, and single members as paths."""
