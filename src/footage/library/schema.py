"""The library's tables, as the steps that lead to them."""

from __future__ import annotations

APPLICATION = 0x666F6F74
"""SQLite's `application_id` of a library: "foot" in ASCII."""

_FIRST = (
    """
    CREATE TABLE models (
        digest TEXT PRIMARY KEY,          -- SHA-256 of the weights
        name TEXT NOT NULL,
        folder TEXT,                      -- where it lay when it was last used
        preset TEXT,
        dataset TEXT,
        dataset_digest TEXT,              -- content hash of the data set
        clips_seen INTEGER,
        details TEXT NOT NULL DEFAULT '{}'
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE clips (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: also the row of the embeddings
        digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64 AND digest NOT GLOB '*[^0-9a-f]*'),
        suffix TEXT NOT NULL CHECK (length(suffix) BETWEEN 1 AND 5 AND suffix NOT GLOB '*[^0-9a-z]*'),
        origin TEXT NOT NULL CHECK (origin IN ('generated', 'imported')),
        title TEXT NOT NULL,
        prompt TEXT NOT NULL DEFAULT '',
        source TEXT NOT NULL DEFAULT '',
        label TEXT,
        model TEXT,
        weights TEXT,                     -- digest in models
        seed INTEGER,
        settings TEXT NOT NULL DEFAULT '{}',
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        fps REAL NOT NULL,
        frames INTEGER NOT NULL,
        seconds REAL NOT NULL,
        codec TEXT NOT NULL,
        audio INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL,
        metrics TEXT NOT NULL DEFAULT '{}',
        stars INTEGER NOT NULL DEFAULT 0 CHECK (stars BETWEEN 0 AND 5),
        verdict TEXT NOT NULL DEFAULT 'undecided' CHECK (verdict IN ('keep', 'reject', 'undecided')),
        notes TEXT NOT NULL DEFAULT '',
        added REAL NOT NULL,              -- seconds since 1970
        changed REAL NOT NULL,
        deleted REAL,                     -- when it went into the bin
        missing INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX clips_live ON clips (deleted, id)",
    "CREATE INDEX clips_facets ON clips (deleted, origin, model, label, verdict, stars, codec)",
    "CREATE INDEX clips_stars ON clips (deleted, stars, id)",
    "CREATE INDEX clips_verdict ON clips (deleted, verdict, id)",
    "CREATE INDEX clips_model ON clips (deleted, model, id)",
    "CREATE INDEX clips_label ON clips (deleted, label, id)",
    "CREATE INDEX clips_title ON clips (deleted, title COLLATE NOCASE, id)",
    "CREATE INDEX clips_seconds ON clips (deleted, seconds, id)",
    "CREATE INDEX clips_bytes ON clips (deleted, bytes, id)",
    "CREATE INDEX clips_seed ON clips (deleted, coalesce(seed, 9223372036854775807), id)",
    "CREATE INDEX clips_changed ON clips (deleted, changed, id)",
    """
    CREATE TABLE tags (
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (clip, tag)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX tags_tag ON tags (tag, clip)",
    """
    CREATE TABLE parents (
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,             -- of the file that the clip was made from, in the library or not
        relation TEXT NOT NULL,
        name TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (clip, digest, relation)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX parents_digest ON parents (digest)",
    """
    CREATE TABLE albums (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        notes TEXT NOT NULL DEFAULT '',
        made REAL NOT NULL
    )
    """,
    """
    CREATE TABLE album_clips (
        album INTEGER NOT NULL REFERENCES albums (id) ON DELETE CASCADE,
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        PRIMARY KEY (album, clip)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX album_clips_clip ON album_clips (clip)",
    "CREATE TABLE views (name TEXT PRIMARY KEY, query TEXT NOT NULL, made REAL NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        what TEXT NOT NULL,
        undone INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE changes (
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        clip INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        field TEXT NOT NULL,
        before TEXT NOT NULL,             -- JSON
        after TEXT NOT NULL,              -- JSON
        PRIMARY KEY (entry, clip, field)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX changes_clip ON changes (clip)",
    """
    CREATE TABLE ratings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        campaign TEXT NOT NULL,
        question TEXT NOT NULL,
        a INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        b INTEGER NOT NULL REFERENCES clips (id) ON DELETE CASCADE,
        choice TEXT NOT NULL CHECK (choice IN ('a', 'b', 'tie')),
        rater TEXT NOT NULL DEFAULT '',
        CHECK (a <> b)
    )
    """,
    "CREATE INDEX ratings_campaign ON ratings (campaign, question)",
    "CREATE INDEX ratings_a ON ratings (a)",
    "CREATE INDEX ratings_b ON ratings (b)",
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        progress REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL DEFAULT 'null',
        cancel INTEGER NOT NULL DEFAULT 0,
        worker TEXT NOT NULL DEFAULT '',
        made REAL NOT NULL,
        started REAL,
        heard REAL,                       -- when the worker last said something
        ended REAL
    )
    """,
    "CREATE INDEX jobs_state ON jobs (state, id)",
    "CREATE TABLE embeddings (kind TEXT PRIMARY KEY, width INTEGER NOT NULL, about TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # What is searched: a clip's words in one folded text. Trigrams find parts of words, and Chinese.
    "CREATE TABLE texts (clip INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE, body TEXT NOT NULL)",
    "CREATE VIRTUAL TABLE words USING fts5(body, content='texts', content_rowid='clip', tokenize='trigram')",
    "CREATE VIRTUAL TABLE trigrams USING fts5vocab(words, 'row')",
    """
    CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
        INSERT INTO words (rowid, body) VALUES (new.clip, new.body);
    END
    """,
    """
    CREATE TRIGGER texts_removed AFTER DELETE ON texts BEGIN
        INSERT INTO words (words, rowid, body) VALUES ('delete', old.clip, old.body);
    END
    """,
    """
    CREATE TRIGGER texts_changed AFTER UPDATE ON texts BEGIN
        INSERT INTO words (words, rowid, body) VALUES ('delete', old.clip, old.body);
        INSERT INTO words (rowid, body) VALUES (new.clip, new.body);
    END
    """,
)

_SECOND = (
    # What a step of the history did to albums and views as wholes, as JSON; null where there was, or is, none.
    """
    CREATE TABLE named_changes (
        entry INTEGER NOT NULL REFERENCES history (id) ON DELETE CASCADE,
        kind TEXT NOT NULL CHECK (kind IN ('album', 'about', 'view')),
        key TEXT NOT NULL,                -- number of the album, name of the view
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        PRIMARY KEY (entry, kind, key)
    ) WITHOUT ROWID
    """,
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND)
"""The steps, in order; a database's `user_version` says how many it has taken. A step is never changed, only added."""
