"""The flags of main_linear.py, main_retrieval.py and the tools that measure networks."""
