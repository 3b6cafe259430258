"""How events are journaled and applied to the tables."""
