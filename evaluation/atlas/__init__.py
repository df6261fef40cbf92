"""Every training image of a run, with what its teacher, its box and its neighbours say of it."""
