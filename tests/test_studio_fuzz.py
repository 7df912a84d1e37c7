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

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 4
"""Requests for each operation; benchmarks/studio.py sends many more."""
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


def test_no_request_is_a_fault_of_the_server(tmp_path: Path) -> None:
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
    studio = Studio(library, Catalog(tmp_path / "models"), Keys(), Limits(changes=1e6, queue=3))
    names = [
        entry.name
        for entries in (studio.catalog.models(), studio.catalog.runs(), studio.catalog.reports())
        for entry in entries
    ]
    drawn = random.Random(0)
    studio.worker.close()
    app = application(studio)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.headers["x-csrf-token"] = studio.keys.csrf
    schema = schemathesis.openapi.from_dict(app.openapi())
    faults: list[str] = []
    count: Counter[int] = Counter()
    quick = settings(
        max_examples=EXAMPLES,
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
            values = case.as_transport_kwargs(base_url="http://127.0.0.1")
            values.pop("headers", None)
            name_an_entry(case.operation.path, values, drawn.choice(names))
            try:
                answer = client.request(**values)
            except (UnicodeError, ValueError):  # no such request can be sent
                return
            count[answer.status_code // 100] += 1
            if answer.status_code >= 500:
                faults.append(f"{values['method']} {values['url']} {values.get('params')} {values.get('json')}")

        send()
    studio.close()
    assert not faults, faults[:5]
    assert count[2] > 30 and count[4] > 30, count
