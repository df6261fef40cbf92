"""Do numbers that need no labels tell a good network from a bad one?"""
