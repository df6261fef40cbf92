"""How one picture becomes a network's input: recipes and the steps they are made of."""
