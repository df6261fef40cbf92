"""The plug-in module around a backbone (PIM, arXiv 2202.03822)."""
