"""How good a feature is, told without labels; and which of several to take."""
