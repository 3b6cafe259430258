"""Replies with pages: their security headers, redirects and cookies."""

from __future__ import annotations

from falcon_events.contract.replies import Reply

HTML = "text/html; charset=utf-8"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors "
)


def html_reply(
    text: str,
    *,
    status: int = 200,
    embedders: str = "'none'",
    referrer: str = "same-origin",
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    """Build a reply with a page, which loads nothing from other hosts.

    Args:
        text: the page.
        status: the HTTP status.
        embedders: the pages that may show it in a frame, as `frame-ancestors` of a Content-Security-Policy names them.
        referrer: which requests of the page name its address, as a Referrer-Policy says.
        headers: more headers.
    """
    secured: tuple[tuple[str, str], ...] = (
        ("Content-Security-Policy", _POLICY + embedders),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", referrer),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Vary", "Cookie"),
    )
    if embedders == "'none'":
        secured += (("X-Frame-Options", "DENY"),)
    return Reply(status, text.encode("utf-8", "replace"), secured + headers, HTML)


def redirect(location: str, *headers: tuple[str, str]) -> Reply:
    """Build a reply that sends the browser to another page, by GET.

    Args:
        location: the page's URL, relative to that of the request.
        headers: more headers, such as a cookie.
    """
    return Reply(303, b"", (("Location", location), ("Cache-Control", "no-store"), *headers), HTML)


def file_reply(body: bytes, content_type: str, name: str) -> Reply:
    """Build a reply that the browser saves as a file.

    Args:
        body: the content.
        content_type: its media type.
        name: the name of the file; ASCII letters, digits, dots and hyphens.
    """
    headers = (
        ("Content-Disposition", f'attachment; filename="{name}"'),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Reply(200, body, headers, content_type)
