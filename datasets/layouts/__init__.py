"""Data sets as they lie on disk: each layout has a reader, and all become one plain listing."""
