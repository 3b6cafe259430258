"""Questions about stored events: from a request's parameters to SQL text with parameters, and from rows to an answer."""
