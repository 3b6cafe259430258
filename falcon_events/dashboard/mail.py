"""Sending mail by SMTP: the settings for it, addresses, messages, and the one transaction in which a message is handed over."""

from __future__ import annotations

import ipaddress
import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from typing import NoReturn
from urllib.parse import unquote

from falcon_events.errors import EventsError, SettingError
from falcon_events.query.formats import escape

SUBMISSION_PORT, SUBMISSIONS_PORT = 587, 465
"""The ports of `smtp` and `smtps` (RFC 8314)."""
MAX_PORT = 65_535
MAX_LOCAL, MAX_ADDRESS = 64, 254
"""How many characters an address may have before its @, and in all (RFC 5321, 4.5.3.1)."""
MAX_REPLY = 200
"""How many characters of a server's reply an error shows."""
_READY, _LOGGED_IN, _NEXT, _GO_ON, _ENDING = 220, 235, 334, 354, 421
_match_url = re.compile(
    r"(?P<scheme>smtp|smtps|smtp\+insecure)://(?:(?P<user>[^\s/@:]+):(?P<password>[^\s/@]*)@)?"
    r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s/@:\[\]?#]+))(?::(?P<port>[0-9]+))?/?"
).fullmatch
_match_address = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<addr>[^<>]*)>|(?P<bare>[^<>]*)").fullmatch
_is_local = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*").fullmatch
_is_domain = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*").fullmatch


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server, as the setting `smtp_url` names it.

    Args:
        host: its name or address.
        port: its port.
        starts_with_tls: whether the connection begins with TLS (smtps).
        needs_tls: whether nothing may be sent without TLS, and without a certificate that can be trusted.
        user: the user to log in as; None: without a login.
        password: the user's password.
    """

    host: str
    port: int
    starts_with_tls: bool
    needs_tls: bool
    user: str | None = None
    password: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """The host and the port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Refusal(Exception):
    """The server's refusal of a step. The message has what was refused, and the reply."""


def parse_server(url: str) -> MailServer:
    """Parse the setting `smtp_url`.

    Raises:
        SettingError: it is empty or invalid; the message does not show it, because it has a password.
    """
    if not url:
        raise SettingError(
            "smtp_url is not set: set FALCON_EVENTS_SMTP_URL to your mail server, such as smtp://USER:PASSWORD@mail.example.com:587."
        )
    match = _match_url(url)
    if match is None:
        raise SettingError(
            "smtp_url: expected smtp://USER:PASSWORD@HOST:PORT, or smtps:// or smtp+insecure:// in place of smtp://."
        )
    host, is_tls = match["literal"] or match["host"], match["scheme"] == "smtps"
    port = int(match["port"]) if match["port"] else SUBMISSIONS_PORT if is_tls else SUBMISSION_PORT
    if not 1 <= port <= MAX_PORT:
        raise SettingError(f"smtp_url: expected a port from 1 to {MAX_PORT}.")
    user, password = (None if match[part] is None else unquote(match[part]) for part in ("user", "password"))
    if any(ord(character) < 32 for character in f"{user}{password}"):
        raise SettingError("smtp_url: expected a user and a password without control characters.")
    return MailServer(
        host=host,
        port=port,
        starts_with_tls=is_tls,
        needs_tls=match["scheme"] != "smtp+insecure" and not _is_loopback(host),
        user=user,
        password=password or "",
    )


def parse_sender(text: str) -> Address:
    """Parse the setting `mail_from`. Raises SettingError."""
    if not text:
        raise SettingError("mail_from is not set: set FALCON_EVENTS_MAIL_FROM to the sender, such as reports@example.com.")
    try:
        return parse_address(text)
    except EventsError as error:
        raise SettingError(f"mail_from={error}") from None


def parse_address(text: str) -> Address:
    """Parse an address such as `ada@example.com` or `Ada <ada@example.com>`. Raises EventsError."""
    match = _match_address(text.strip())
    if match is not None and text.isprintable():
        local, at, domain = (match["addr"] or match["bare"] or "").rpartition("@")
        with suppress(UnicodeError):  # of a domain that has no form in ASCII
            domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
            short = len(local) <= MAX_LOCAL and len(local) + len(domain) < MAX_ADDRESS
            if at and short and _is_local(local) and _is_domain(domain):
                return Address(clean_header((match["name"] or "").strip(' "')), local, domain)
    raise EventsError(f"{text[:MAX_ADDRESS]!r}: an e-mail address such as ada@example.com or Ada <ada@example.com> is needed.")


def clean_header(text: str) -> str:
    """Return text that is safe in a header: without line breaks, and without words that readers of mail would decode."""
    return escape(text).replace("=?", "= ?")


def build_message(
    sender: Address, recipients: Sequence[Address], subject: str, text: str, html: str, mailing_list: str
) -> EmailMessage:
    """Build a message with a plain and an HTML form of the same contents.

    Args:
        sender: whom it comes from.
        recipients: whom it goes to; all of them see all addresses.
        subject: the subject; it may have any characters.
        text: the plain form.
        html: the HTML form.
        mailing_list: a name, the same for all messages of this kind, that mail programs can sort by.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = clean_header(subject)
    message["From"] = sender
    message["To"] = list(recipients)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = make_msgid(domain=sender.domain)
    message["Auto-Submitted"] = "auto-generated"
    message["List-Id"] = f"<{mailing_list}.{sender.domain}>"
    message.set_content(text, cte="quoted-printable")  # ASCII, which every server takes
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def send_message(
    message: EmailMessage, server: MailServer, sender: Address, recipients: Sequence[Address], timeout_s: float
) -> dict[str, str]:
    """Hand a message over to a server, in one transaction: it takes the message for all recipients that it does not refuse.

    Args:
        message: the message.
        server: the server.
        sender: where the server reports that the message cannot be delivered.
        recipients: whom it goes to.
        timeout_s: how long the connection and each reply may take, in seconds.

    Returns:
        The addresses that the server refuses, each with the reason. It has taken the message for the others.

    Raises:
        EventsError: the server has not taken the message, or it is not known whether it has; the message says which.
    """
    try:
        client = _connect(server, timeout_s)
        try:
            _secure(client, server)
            _log_in(client, server)
            refused = _name_recipients(client, server, sender, recipients)
            if len(refused) == len(recipients):
                reasons = "; ".join(f"{address}: {reason}" for address, reason in refused.items())
                _fail(server, f"refuses every recipient ({reasons})")
            _hand_over(client, server, message.as_bytes(policy=SMTP))
            with suppress(OSError):  # the message is the server's already
                client.quit()
        finally:
            client.close()
    except _Refusal as refusal:
        _fail(server, str(refusal))
    except ssl.SSLCertVerificationError as error:
        _fail(server, f"has a certificate that cannot be trusted ({error.verify_message})")
    except smtplib.SMTPResponseException as error:
        reply = error.smtp_error if isinstance(error.smtp_error, bytes) else error.smtp_error.encode()
        _fail(server, f"replies {_show(server, error.smtp_code, reply)}")
    except smtplib.SMTPServerDisconnected as error:
        _fail(server, "does not reply in time" if "timed out" in str(error) else "has closed the connection")
    except TimeoutError:
        _fail(server, "does not reply in time")
    except ssl.SSLError as error:
        _fail(server, f"does not begin TLS ({error.reason or error})")
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that DNS cannot have
        _fail(server, f"cannot be reached ({getattr(error, 'strerror', None) or error})")
    return refused


def _connect(server: MailServer, timeout_s: float) -> smtplib.SMTP:
    """Connect. The client is given a name, because it would ask DNS for one, for as long as that takes."""
    if server.starts_with_tls:
        context = _make_context(server)
        client: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, "localhost", timeout=timeout_s, context=context)
    else:
        client = smtplib.SMTP(server.host, server.port, "localhost", timeout=timeout_s)
    assert client.sock is not None
    own = client.sock.getsockname()[0]
    client.local_hostname = f"[IPv6:{own}]" if ":" in own else f"[{own}]"
    return client


def _secure(client: smtplib.SMTP, server: MailServer) -> None:
    """Greet the server, and begin TLS where it offers that."""
    client.ehlo_or_helo_if_needed()
    if server.starts_with_tls:
        return
    if client.has_extn("starttls"):
        client.starttls(context=_make_context(server))
        client.ehlo()
    elif server.needs_tls:
        _fail(server, "offers no encryption (STARTTLS); use smtps:// if it has a port for TLS, or smtp+insecure:// to do without")


def _log_in(client: smtplib.SMTP, server: MailServer) -> None:
    """Log in. smtplib's own login takes passwords in ASCII only."""
    if server.user is None:
        return
    offered = client.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        code, reply = client.docmd("AUTH", f"PLAIN {_encode(_join_login(server))}")
    elif "LOGIN" in offered:
        code, reply = client.docmd("AUTH", "LOGIN")
        for part in (server.user, server.password):
            if code == _NEXT:
                code, reply = client.docmd(_encode(part))
    else:
        _fail(server, "offers no login by PLAIN or LOGIN; leave out the user and the password, or use the port that has a login")
    if code != _LOGGED_IN:
        raise _Refusal(f"refuses the login: {_show(server, code, reply)}")


def _name_recipients(client: smtplib.SMTP, server: MailServer, sender: Address, recipients: Sequence[Address]) -> dict[str, str]:
    """Begin the transaction; return the recipients that are refused, with the reasons."""
    code, reply = client.mail(sender.addr_spec)
    if not _is_positive(code):
        raise _Refusal(f"refuses the sender {sender.addr_spec}: {_show(server, code, reply)}")
    refused = {}
    for recipient in recipients:
        code, reply = client.rcpt(recipient.addr_spec)
        if code == _ENDING:
            raise _Refusal(f"refuses to go on at {recipient.addr_spec}: {_show(server, code, reply)}")
        if not _is_positive(code):
            refused[recipient.addr_spec] = _show(server, code, reply)
    return refused


def _hand_over(client: smtplib.SMTP, server: MailServer, content: bytes) -> None:
    """Send the contents. Without a reply to their last line, nobody knows whether the server has taken the message."""
    code, reply = client.docmd("DATA")
    if code != _GO_ON:
        raise _Refusal(f"refuses the message: {_show(server, code, reply)}")
    client.send(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
    try:
        code, reply = client.getreply()
    except OSError:
        raise EventsError(
            f"The mail server {server.place} has not said whether it took the message. It may have been sent: ask a"
            " recipient before you send it again."
        ) from None
    if not _is_positive(code):
        raise _Refusal(f"refuses the message: {_show(server, code, reply)}")


def _make_context(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not server.needs_tls:  # mail servers of this machine have certificates that they made themselves
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:  # of the machine that the executable was built on
        with suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_positive(code: int) -> bool:
    return 200 <= code < 300


def _encode(text: str) -> str:
    return b64encode(text.encode()).decode()


def _join_login(server: MailServer) -> str:
    """Return what the mechanism PLAIN sends (RFC 4616)."""
    return f"\0{server.user}\0{server.password}"


def _show(server: MailServer, code: int, reply: bytes) -> str:
    """Return a reply as text, without the password if the server repeats it."""
    text = reply.decode("utf-8", "replace")
    if server.password:
        for secret in (_encode(_join_login(server)), _encode(server.password), server.password):
            text = text.replace(secret, "***")
    text = escape(" ".join(text.split()))
    return f"{code} {text}" if len(text) <= MAX_REPLY else f"{code} {text[:MAX_REPLY]}…"


def _fail(server: MailServer, what: str) -> NoReturn:
    raise EventsError(f"The mail server {server.place} {what}. Nothing was sent.") from None
