"""From files and data sets to checked splits."""
