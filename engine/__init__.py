"""Everything that is not a method: arguments, the loop, checkpoints, evaluation."""
