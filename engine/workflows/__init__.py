"""From options to results: what each system does its own way, around the one trainer."""
