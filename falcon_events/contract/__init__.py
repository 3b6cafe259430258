"""The HTTP contract, free of web framework and database: bytes in, a request or its coded errors out."""
