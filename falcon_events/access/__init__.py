"""Who may do what: accounts, API keys, sessions and lists, or the host application's own."""
