"""The flags of main_metric.py."""
