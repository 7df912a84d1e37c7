"""Roles of the accounts, and the table of all routes with the least role that each asks for.

Without accounts whoever is let in has the highest role. What is not in the table asks for that role, too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.routing import Route


class Role(enum.IntEnum):
    """What somebody may do; each role may do what those before it may."""

    anyone = 0
    """Come in: nobody's role, but that of the entrance."""
    look = 1
    rate = 2
    """Stars, verdicts, tags, titles, notes, albums, views, blind ratings."""
    make = 3
    """What takes up the machine or its disk: generate, upload, ingest, train, evaluate; the bin; end one's own jobs."""
    administer = 4
    """Accounts, the log, what cannot be undone, and what belongs to others."""


GIVEN = (Role.look, Role.rate, Role.make, Role.administer)
"""Roles that accounts have."""


@dataclass(frozen=True)
class Visitor:
    """Who makes a request."""

    role: Role
    name: str = ""
    """Of the account; empty where there are no accounts, and for strangers."""
    account: int = 0
    session: str = ""
    """What its cookie holds; empty for programs."""
    token: str = ""
    """Name of the bearer token that it came with."""
    trusted: bool = False
    """Whether a bearer's token came with the request, which no other site can send."""

    def owns(self, actor: str) -> bool:
        """Whether something that was made on behalf of an account may be stopped or changed by this visitor."""
        return self.role >= Role.administer or (bool(self.name) and actor == self.name)


OWNER, STRANGER = Visitor(Role.administer), Visitor(Role.anyone)
"""Who is let in where there are no accounts, and who is not let in yet."""

_ANYONE = """
GET /enter
GET /join
GET /favicon.ico
GET /language/{code}
GET /api/session
POST /api/session
POST /api/join
"""
_LOOK = """
GET /
GET /parts/clips
GET /parts/facets
GET /parts/cards
GET /parts/taste
GET /parts/signature
GET /parts/origin
GET /parts/jobs
GET /parts/badge
GET /parts/run
GET /parts/runs
GET /parts/plan
GET /models
GET /api/trainings/presets
GET /parts/datasets
GET /clip/{clip}
GET /compare
GET /duplicates
GET /activity
GET /timeline
GET /data
GET /data/audit
GET /training
GET /training/run
GET /reports
GET /reports/view
GET /rate/{campaign}/results
GET /account
DELETE /api/session
GET /api/account
PUT /api/account/password
DELETE /api/account/sessions
DELETE /api/account/sessions/{session}
POST /api/account/tokens
DELETE /api/account/tokens/{token}
GET /api/openapi.json
GET /api/clips
GET /api/clips/ids
GET /api/clips/shapes
GET /api/clips/count
GET /api/clips/facets
GET /api/clips/{clip}
GET /api/clips/{clip}/similar
GET /api/clips/{clip}/classes
GET /api/clips/{clip}/uses
GET /api/clips/{clip}/taste
GET /api/clips/{clip}/provenance
GET /api/clips/{clip}/signature
GET /api/clips/{clip}/volume
GET /api/volumes/{key}/{part}
GET /api/datasets/volume
GET /data/volume
GET /api/clips/{clip}/file
GET /api/clips/{clip}/thumbnail
GET /api/clips/{clip}/preview
GET /api/clips/{clip}/effects
GET /api/tables
GET /api/duplicates
GET /api/taste
GET /api/history
POST /api/exports
GET /api/exports/{word}
GET /api/albums
GET /api/views
GET /api/timelines
GET /api/timelines/{name}
GET /api/timelines/{name}/file
POST /api/timelines/{name}/list
GET /api/drafts/{word}
GET /api/models
GET /api/devices
GET /api/jobs
GET /api/jobs/{job}
GET /api/ratings/campaigns
GET /api/ratings/makers
GET /api/ratings/campaigns/{campaign}/results
GET /api/ratings/campaigns/{campaign}/report
GET /api/ratings/campaigns/{campaign}/answers.csv
GET /api/runs
GET /api/runs/figures
GET /api/runs/sample
GET /api/datasets
GET /api/datasets/strip
GET /api/datasets/audit
GET /api/datasets/source
GET /api/reports
GET /api/reports/file
GET /api/reports/picture
"""
_RATE = """
GET /rate
GET /rate/{campaign}
POST /api/clips/bulk
PATCH /api/clips/{clip}
POST /api/undo
POST /api/redo
POST /api/albums
PATCH /api/albums/{album}
DELETE /api/albums/{album}
POST /api/albums/{album}/clips
DELETE /api/albums/{album}/clips
PUT /api/albums/{album}/order
PUT /api/views/{name}
DELETE /api/views/{name}
PUT /api/timelines/{name}
DELETE /api/timelines/{name}
POST /api/ratings/pairs
GET /api/ratings/pairs/{pair}/{side}
POST /api/ratings/pairs/{pair}
DELETE /api/ratings/answers/{rating}
"""
_MAKE = """
GET /generate
GET /live
GET /talk
GET /training/new
GET /parts/knobs
GET /evaluate
GET /parts/folders
GET /parts/more
POST /api/clips/bin
POST /api/clips/restore
POST /api/uploads
GET /api/sources
GET /api/sources/size
GET /api/sources/uploads
POST /api/sources/uploads
PUT /api/sources/uploads
DELETE /api/sources/uploads
POST /api/jobs/generate
POST /api/jobs/between
POST /api/jobs/predict
POST /api/jobs/translate
POST /api/jobs/animate
POST /api/jobs/reconstruct
POST /api/jobs/upscale
POST /api/jobs/talk
POST /api/jobs/trim
POST /api/jobs/join
POST /api/jobs/effects
POST /api/clips/{clip}/effects/draft
POST /api/tables
POST /api/timelines/{name}/draft
POST /api/timelines/{name}/film
POST /api/jobs/ingest
POST /api/jobs/plan
POST /api/jobs/train
POST /api/jobs/evaluate
POST /api/jobs/privacy
POST /api/clips/{clip}/origin
POST /api/jobs/clear
POST /api/jobs/{job}/again
POST /api/jobs/{job}/cancel
POST /api/runs/stop
POST /api/previews
GET /api/presets
PUT /api/presets/{name}
DELETE /api/presets/{name}
GET /api/sliders/{weights}
PUT /api/sliders/{weights}
POST /api/runs/continue
GET /api/sounds
POST /api/sounds
GET /api/sounds/{sound}/file
DELETE /api/sounds/{sound}
GET /api/live
POST /api/live
GET /api/live/{live}
PATCH /api/live/{live}
DELETE /api/live/{live}
GET /api/live/{live}/video
"""
_ADMINISTER = """
GET /people
GET /log
GET /parts/erasure
GET /api/datasets/erasure
POST /api/jobs/erase
POST /api/clips/purge
POST /api/jobs/verify
POST /api/jobs/embed
GET /api/people
PATCH /api/people/{account}
POST /api/people/{account}/link
POST /api/invitations
DELETE /api/invitations/{invitation}
GET /api/log
GET /api/log.csv
"""

ROLES: dict[tuple[str, str], Role] = {
    (method, path): role
    for role, lines in zip(Role, (_ANYONE, _LOOK, _RATE, _MAKE, _ADMINISTER), strict=True)
    for method, path in (line.split() for line in lines.split("\n") if line)
}
"""The least role by method and template of the address."""


class LeastRoles:
    """The least role of a request, found by the routes as they are asked, in their order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    def find(self, method: str, path: str) -> tuple[str, Role]:
        """Return the template of the address that a request goes to, and the least role for it.

        Of what no route takes, empty and that of who looks: it is answered that there is no such thing.
        """
        for route in self._routes:
            if method in (route.methods or ()) and route.path_regex.match(path):
                return route.path, ROLES.get((method, route.path), Role.administer)
        return "", Role.look
