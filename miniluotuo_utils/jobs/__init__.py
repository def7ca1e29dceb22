"""Long runs over files, one module a command."""
