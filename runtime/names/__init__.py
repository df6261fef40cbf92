"""Names of files and classes as text: shown, spelled in tables, made safe for a disk."""
