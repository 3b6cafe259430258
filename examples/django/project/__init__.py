"""The project: settings, addresses, and what servers start."""
