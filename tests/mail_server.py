"""A mail server of tests: it speaks SMTP with STARTTLS, TLS and AUTH, keeps what it gets, and answers as a test wants it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

HANG_UP = ""
"""An answer: the connection is closed instead."""
SILENCE = "silence"
"""An answer: there is none until the server ends."""
END_OF_DATA = "."


@dataclass(frozen=True)
class Mail:
    """A message that the server took, and how it came."""

    sender: str
    recipients: list[str]
    content: bytes
    encrypted: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        found = message_from_bytes(self.content, policy=default)
        assert isinstance(found, EmailMessage)
        return found

    def part(self, kind: str) -> str:
        """The text of its part of a kind, `plain` or `html`, with the line breaks of this machine."""
        found = self.message.get_body((kind,))
        assert found is not None
        text: str = found.get_content()
        return text.replace("\r\n", "\n")


@dataclass(frozen=True)
class Certificate:
    """A certificate for mail.example.com and localhost that vouches for itself, and its key, in files."""

    path: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """Make one with openssl."""
        made = cls(folder / "mail.crt", folder / "mail.key")
        names = "subjectAltName=DNS:mail.example.com,DNS:localhost,IP:127.0.0.1"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail.example.com",
             "-addext", names, "-keyout", str(made.key), "-out", str(made.path)],
            check=True, capture_output=True,
        )  # fmt: skip
        return made


class MailServer:
    """Takes messages on a port of its own.

    Args:
        answers: answers to commands that begin like this, in place of the usual ones: `RCPT TO:<bob@`, `CONNECT` for the
            greeting, END_OF_DATA for the end of a message. `{line}` in an answer is what the client sent.
        certificate: with it, STARTTLS is offered.
        starts_with_tls: whether connections begin with TLS instead.
        users: who may log in, with the passwords; without any, no login is offered.
        mechanisms: how they may log in.
    """

    def __init__(
        self,
        answers: Mapping[str, str] | None = None,
        *,
        certificate: Certificate | None = None,
        starts_with_tls: bool = False,
        users: Mapping[str, str] | None = None,
        mechanisms: str = "PLAIN LOGIN",
    ) -> None:
        self.answers = dict(answers or {})
        self.users = dict(users or {})
        self.mechanisms = mechanisms
        self.starts_with_tls = starts_with_tls
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate.path, certificate.key)
        self.mails: list[Mail] = []
        self.lines: list[str] = []
        """What clients sent, without the contents of messages."""
        self.ending = threading.Event()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    _Session(server, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """End, with all connections."""
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def taking_mail(answers: Mapping[str, str] | None = None, **options: object) -> Iterator[MailServer]:
    """A mail server until the end of the block. Its arguments are those of MailServer."""
    server = MailServer(answers, **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


class _Session:
    def __init__(self, server: MailServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.encrypted = False
        self.user: str | None = None
        self.sender = ""
        self.recipients: list[str] = []
        self.last = ""

    def run(self) -> None:
        if self.server.starts_with_tls:
            self._encrypt()
        self.file = self.connection.makefile("rb")
        try:
            if not self._answer("CONNECT", "220 mail.example.com ESMTP"):
                return
            while line := self._read():
                if not self._handle(line) or line.upper() == "QUIT":
                    return
        finally:
            self.file.close()
            self.connection.close()

    def _handle(self, line: str) -> bool:
        """Handle a command; return whether the connection goes on."""
        verb = line.partition(" ")[0].upper()
        if verb == "EHLO":
            extensions = ["mail.example.com", "8BITMIME"]
            if self.server.context is not None and not self.encrypted:
                extensions.append("STARTTLS")
            if self.server.users:
                extensions.append(f"AUTH {self.server.mechanisms}")
            return self._answer(line, "\r\n".join([*(f"250-{one}" for one in extensions), "250 HELP"]))
        if verb == "STARTTLS":
            if not self._answer(line, "220 go ahead"):
                return False
            self.file.close()
            self._encrypt()
            self.file = self.connection.makefile("rb")
            return True
        if verb == "AUTH":
            return self._log_in(line)
        if verb == "MAIL":
            self.sender, self.recipients = line[len("MAIL FROM:<") : line.index(">")], []
            return self._answer(line, "250 ok")
        if verb == "RCPT":
            goes_on = self._answer(line, "250 ok")
            if self.last.startswith("250"):
                self.recipients.append(line[len("RCPT TO:<") : line.index(">")])
            return goes_on
        if verb == "DATA":
            return self._answer(line, "354 go ahead") and (not self.last.startswith("354") or self._take())
        return self._answer(line, "221 bye" if verb == "QUIT" else "502 what?")

    def _log_in(self, line: str) -> bool:
        words = line.split(" ")
        if words[1] == "PLAIN":
            _, user, password = b64decode(words[2]).decode().split("\0")
        else:
            user, password = "", ""
            for number in range(2):
                self._send("334 " + ("VXNlcm5hbWU6", "UGFzc3dvcmQ6")[number])
                given = b64decode(self._read()).decode()
                user, password = (given, "") if number == 0 else (user, given)
        good = self.server.users.get(user) == password
        self.user = user if good else None
        return self._answer(line, "235 welcome" if good else "535 5.7.8 authentication failed")

    def _take(self) -> bool:
        content = b""
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                return False
            content += line.removeprefix(b".")
        goes_on = self._answer(END_OF_DATA, "250 taken")
        if self.last.startswith("250"):
            self.server.mails.append(Mail(self.sender, self.recipients, content, self.encrypted, self.user))
        return goes_on

    def _answer(self, line: str, usual: str) -> bool:
        found = (answer for start, answer in self.server.answers.items() if line.upper().startswith(start.upper()))
        self.last = next(found, usual).replace("{line}", line)
        if self.last == SILENCE:
            self.server.ending.wait()
        if self.last in (HANG_UP, SILENCE):
            return False
        self._send(self.last)
        return not self.last.startswith("421")

    def _send(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")

    def _read(self) -> str:
        line = self.file.readline().decode("utf-8", "replace").rstrip("\r\n")
        self.server.lines.append(line)
        return line

    def _encrypt(self) -> None:
        assert self.server.context is not None
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.encrypted = True
