"""Access control: accounts, API keys, sessions and lists, or the host application's replacements for them."""
