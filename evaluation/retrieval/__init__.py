"""Who asks whom, in which order the others come, and what that is worth."""
