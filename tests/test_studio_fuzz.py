"""Nonsense of every kind is sent to the interface, as its OpenAPI describes it: nothing is a fault of the server.

The folder of models, runs and reports is full of damaged and hostile ones, and what is asked for is often one of these.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import hostile
from tests.clips import moving, write
from tests.people import BASE, make_accounts, sign_in

EXAMPLES = {None: 4, "look": 1, "rate": 1, "make": 1, "administer": 2}
"""Requests for each operation, by role, None for the owner; benchmarks/studio.py sends many more."""
LEFT_OUT = "/api/live"
"""What starts processes is tried in a browser instead."""
NAMING = {"/api/runs/": "run", "/api/reports/file": "name", "/api/reports/picture": "report"}
"""Parameters that name an entry of the folder, by how addresses begin."""


def name_an_entry(path: str, values: dict[str, Any], name: str) -> None:
    """Let a request ask for an entry that there is, where it asks for any."""
    for begin, parameter in NAMING.items():
        if path.startswith(begin):
            values["params"] = {**(values.get("params") or {}), parameter: name}
    body = values.get("json")
    if isinstance(body, dict) and "model" in body:
        body["model"] = name


@pytest.mark.parametrize("role", EXAMPLES, ids=lambda role: role or "owner")
def test_no_request_is_a_fault_of_the_server(tmp_path: Path, role: str | None) -> None:
    schemathesis = pytest.importorskip("schemathesis")  # not before a process comes to it: it takes a second
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import given as tried
    from starlette.testclient import TestClient

    from footage.library.library import Library
    from footage.studio.app import application
    from footage.studio.catalog import Catalog
    from footage.studio.security import Keys, Limits
    from footage.studio.state import Studio

    library = Library(tmp_path / "library")
    library.add(write(tmp_path / "one.mp4", moving(8)))
    library.add(write(tmp_path / "two.mp4", moving(8, seed=1)))
    hostile.save_all(tmp_path / "models")
    keys = Keys(tries=10**6, accounts=None if role is None else make_accounts(library.folder))
    studio = Studio(library, Catalog(tmp_path / "models"), keys, Limits(changes=1e6, queue=3))
    names = [
        entry.name
        for entries in (studio.catalog.models(), studio.catalog.runs(), studio.catalog.reports())
        for entry in entries
    ]
    drawn = random.Random(0)
    studio.worker.close()
    app = application(studio)

    def browser() -> TestClient:
        if role is not None:
            return sign_in(app, studio, role)
        return TestClient(app, base_url=BASE, raise_server_exceptions=False, headers={"x-csrf-token": studio.keys.csrf})

    clients = [browser()]
    schema = schemathesis.openapi.from_dict(app.openapi())
    faults: list[str] = []
    count: Counter[int] = Counter()
    quick = settings(
        max_examples=EXAMPLES[role],
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith(LEFT_OUT):
            continue

        @quick
        @tried(case=operation.as_strategy())
        def send(case: Any) -> None:
            values = case.as_transport_kwargs(base_url=BASE)
            values.pop("headers", None)
            name_an_entry(case.operation.path, values, drawn.choice(names))
            try:
                answer = clients[-1].request(**values)
            except (UnicodeError, ValueError):  # no such request can be sent
                return
            if answer.status_code == 401:  # it has signed out
                clients.append(browser())
            count[answer.status_code // 100] += 1
            if answer.status_code >= 500:
                faults.append(f"{values['method']} {values['url']} {values.get('params')} {values.get('json')}")

        send()
    tried_routes = {entry.route for entry in keys.accounts.log(limit=1000)} if keys.accounts else set()
    studio.close()
    assert not faults, faults[:5]
    assert count[2] > (30 if EXAMPLES[role] > 1 else 10) and count[4] > 30, count
    assert role is None or len(tried_routes) > 30, "changes were tried"
