"""What every layer may use and nothing of the field is in: errors, files, folders, names of files."""
