"""Which user agents are bots: real ones of people and of bots, from the sources in user_agents/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from falcon_events.ingest.bots import find_bot
from falcon_events.model.sender import Sender
from tools.renew_bots import MENDED

PEOPLE, LOOKALIKES, BOTS = (
    (Path(__file__).with_name("user_agents") / f"{kind}.txt").read_text().splitlines()
    for kind in ("people", "lookalikes", "bots")
)
PAGE = "https://shop.example.com"
ANDROID = "Mozilla/5.0 (Linux; Android 15; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
CRAWLER = "(compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def find(user_agent: str) -> str | None:
    """The reason why this agent is no visitor's, as a page sends it."""
    return find_bot(Sender(origin=PAGE, user_agent=user_agent), own=False, from_a_page=True)


def test_people_are_no_bots() -> None:
    """Phones, tablets, television sets, computers, and browsers within applications."""
    assert {agent: reason for agent in PEOPLE if (reason := find(agent)) is not None} == {}


def test_people_whose_agent_contains_a_word_of_a_bot_are_no_bots() -> None:
    """Phones and builds with a bot's name, and browsers of services that also run bots."""
    assert {agent: reason for agent in LOOKALIKES if (reason := find(agent)) is not None} == {}


def test_each_mended_pattern_took_a_person_for_a_bot() -> None:
    """As the list has it, the pattern matches the agent of a person, so that it has to be mended."""
    assert [pattern for pattern in MENDED if not any(re.search(pattern, agent) for agent in LOOKALIKES)] == []


def test_bots_are_found() -> None:
    """The reason is a part of the agent: what the pattern has matched."""
    assert {agent: reason for agent in BOTS if not (reason := find(agent)) or reason not in agent} == {}


@pytest.mark.parametrize(
    "model", ["Googlebot", "HTC Butterfly Build/JDQ39", "curl Build/curl", "Sonic(bot) Build/AP3A.240617.008; wv"]
)
def test_the_name_of_a_device_is_no_bots_name(model: str) -> None:
    """Whatever manufacturers call their phones and builds; what stands beside it counts, also in the same parentheses."""
    assert find(ANDROID.format(model)) is None
    assert find(ANDROID.format(model) + " " + CRAWLER) == "Googlebot"
    assert find(ANDROID.format("Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0")) == "Storebot-Google"
