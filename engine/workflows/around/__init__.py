"""What stands around a training, whichever command it is of: the plan before it, and what follows."""
