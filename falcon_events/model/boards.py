"""Saved views of the dashboard, and links that share one of its pages with people who have no key."""

from __future__ import annotations

from datetime import datetime

import msgspec


class DashboardView(msgspec.Struct, frozen=True):
    """A page of the dashboard that is saved under a name on one of a list's boards."""

    list_id: int
    board: str
    name: str
    location: str
    """The page's URL, relative to the dashboard."""
    created_at: datetime


class NewShare(msgspec.Struct, frozen=True):
    """New share. This is the only time that its secret is shown."""

    share_id: str
    secret: str

    def __repr__(self) -> str:  # keeps the secret out of logs and tracebacks
        return f"NewShare({self.share_id!r}, ...)"


class Share(msgspec.Struct, frozen=True):
    """A page of the dashboard that people without a key may see by a secret link."""

    share_id: str
    list_id: int
    location: str
    """The page's URL, relative to the dashboard."""
    password_hash: str | None
    """The hash that check_share_password() compares with; None: the share has no password."""
    public: bool
    embed: bool
    created_at: datetime
    revoked_at: datetime | None = None

    @property
    def needs_password(self) -> bool:
        """Whether a password is asked for."""
        return self.password_hash is not None

    def __repr__(self) -> str:  # keeps the hash of the password out of logs and tracebacks
        return f"Share({self.share_id!r}, list_id={self.list_id}, location={self.location!r}, ...)"
