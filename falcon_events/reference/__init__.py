"""The API's reference for people: a page that renders the OpenAPI document, with everything it needs beside it."""
