"""What every layer may use and nothing of the field is in: errors, files, folders, names of files."""

VERSION = "1.0.0"  # the only place: the package, the ledger and the pages of runs read it here
