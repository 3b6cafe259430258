"""examples/journeys: its README's commands do what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.artefacts.test_examples import walk
from tests.harness import wait_until
from tests.pages import documents, matches


@pytest.mark.needs("curl")
def test_the_journeys_of_the_readme(tmp_path: Path) -> None:
    """A sign-up starts a journey and a purchase ends it, as each answer shown says; journeys follow a moment later."""
    walker = walk("journeys", tmp_path)
    walker.prepare()
    (server,) = walker.servers()
    with walker.serving(server) as served:
        for script, shown in walker.questions():
            *first, last = script.splitlines(keepends=True)
            if "/journeys?" not in last:
                assert matches(shown, documents(walker.run(script)))
                continue
            assert matches(shown[:-1], documents(walker.run("".join(first))))

            def has_followed(last: str = last, shown: object = shown[-1]) -> bool:
                return matches(shown, documents(walker.run(last))[0])

            wait_until(has_followed, shown, served)  # type: ignore[arg-type]
