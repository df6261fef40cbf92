"""Metric learning on labelled classes, measured on other ones."""
