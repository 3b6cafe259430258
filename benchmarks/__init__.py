"""How fast the package is, measured through its HTTP API; README.md says what and how."""
