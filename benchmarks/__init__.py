"""Speed, measured as a ratio against a plain reference in the same run."""
