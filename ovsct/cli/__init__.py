"""The ovsct command: arguments in, one call, an exit code."""
