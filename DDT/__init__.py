"""Deep descriptor transforming: where is the object? (Wei et al., arXiv 1707.06397)"""
