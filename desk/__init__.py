"""The page at which a person names pictures: journal, state, server."""
