"""A command's terminal: options that many take, tables, progress bars."""
