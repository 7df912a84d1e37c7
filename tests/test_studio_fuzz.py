"""Nonsense of every kind is sent to the interface, as its OpenAPI describes it: nothing is a fault of the server."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.clips import moving, write

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 4
"""Requests for each operation; benchmarks/studio.py sends many more."""
LEFT_OUT = "/api/live"
"""What starts processes is tried in a browser instead."""


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
    studio = Studio(library, Catalog(tmp_path), Keys(), Limits(changes=1e6, queue=3))
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
        def send(case: object) -> None:
            values = case.as_transport_kwargs(base_url="http://127.0.0.1")  # type: ignore[attr-defined]
            values.pop("headers", None)
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
