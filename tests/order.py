"""The order of the tests, and which of them a test process gets together: whole modules, the longest first."""

from __future__ import annotations

from typing import Any

import pytest

LONGEST = (
    "tests/artefacts/test_executable.py",
    "tests/artefacts/test_executable_unpacking.py",
    "tests/artefacts/test_image.py",
    "tests/artefacts/test_self_hosting.py",
    "tests/artefacts/test_contributing.py",
    "tests/server/browser/test_tracker.py",
    "tests/server/browser/test_dashboard.py",
    "tests/artefacts/test_documentation_blocks.py",
    "tests/server/browser/test_dashboard_walk.py",
    "tests/server/test_import_export.py",
    "tests/server/test_mounting.py",
    "tests/server/test_hostile_input.py",
    "tests/server/test_webhooks.py",
    "tests/faults/",
    "tests/artefacts/",
    "tests/unit/test_plan.py",
    "tests/unit/test_cli.py",
    "tests/unit/test_python_api.py",
    "tests/unit/test_pytest_plugin.py",
    "tests/unit/test_store.py",
    "tests/unit/test_contract_equivalence.py",
    "tests/server/",
)
"""Modules, or folders of modules, in the order in which they are begun. All others come after them."""

TOGETHER = {
    "tests/artefacts/test_bare_install.py": "tests/artefacts/test_contributing.py",
    "tests/artefacts/test_packaging.py": "tests/artefacts/test_contributing.py",
    "tests/artefacts/test_executable_unpacking.py": "tests/artefacts/test_executable.py",
    "tests/artefacts/test_self_hosting.py": "tests/artefacts/test_image.py",
    "tests/server/browser/test_single_page_applications.py": "tests/server/browser/test_tracker.py",
    "tests/server/browser/test_tracker_storage.py": "tests/server/browser/test_tracker.py",
    "tests/server/browser/test_tracker_refusals.py": "tests/server/browser/test_tracker.py",
    "tests/server/browser/test_dashboard_pictures.py": "tests/server/browser/test_dashboard.py",
    "tests/server/browser/test_demo.py": "tests/server/browser/test_dashboard.py",
    "tests/server/browser/test_openapi_page.py": "tests/server/browser/test_dashboard.py",
    "tests/server/browser/test_site.py": "tests/server/browser/test_dashboard.py",
}
"""Modules that use the same costly build, or the same browser, as another one, and go to the same test process."""


def rank(nodeid: str) -> int:
    """Place of a test's module among the longest ones."""
    return next((number for number, name in enumerate(LONGEST) if nodeid.startswith(name)), len(LONGEST))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Return pytest-xdist's scheduler for modules."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        """Gives each module to one test process, in the order of the tests."""

        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return TOGETHER.get(module, module)

    config.option.loadscopereorder = False
    return ByModule(config, log)
