"""How the core waits, forks and ends."""
