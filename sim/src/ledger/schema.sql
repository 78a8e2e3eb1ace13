-- The tables of a ledger. A seed is an unsigned number of 64 bits and stands here as the signed one with the same
-- bits, so that the usual ones can be read; `seed < 0, seed` is the order of all.

CREATE TABLE ledger (
    system TEXT NOT NULL
) STRICT;

-- One sweep. `id` is drawn at random, so that merging knows a session again.
CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    build TEXT NOT NULL,
    commit_id TEXT,             -- where it is known
    profile TEXT NOT NULL,
    first INTEGER NOT NULL,     -- what it was asked to sweep
    last INTEGER NOT NULL,
    is_nightly INTEGER NOT NULL,
    jobs INTEGER NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,           -- NULL: under way, or killed
    ending TEXT
) STRICT;

CREATE INDEX session_profile ON session (profile, began_ms);

-- Seeds that are done, and the sums over them. Sums stand here so that one statement records a seed.
CREATE TABLE interval (
    session INTEGER NOT NULL REFERENCES session,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    virtual_time_ns INTEGER NOT NULL,
    events INTEGER NOT NULL,
    operations INTEGER NOT NULL,
    faults INTEGER NOT NULL,
    members TEXT NOT NULL,      -- seeds by size of the cluster, as JSON
    coverage TEXT NOT NULL,     -- marks, failpoints and kinds of faults that were reached, as JSON
    PRIMARY KEY (session, first)
) STRICT, WITHOUT ROWID;

-- One signature under one profile. `id` is a short digest over both, and so the same in every ledger.
CREATE TABLE finding (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    profile TEXT NOT NULL,
    signature TEXT NOT NULL,
    oracle TEXT NOT NULL,
    clause TEXT NOT NULL,
    shape TEXT NOT NULL,
    is_closed INTEGER NOT NULL DEFAULT 0,
    marked_ms INTEGER,          -- when it was last closed or reopened
    seen_ms INTEGER NOT NULL,   -- when the last sweep began that saw it, also where that did its seeds again
    UNIQUE (profile, signature)
) STRICT;

CREATE TABLE failure (
    number INTEGER PRIMARY KEY, -- rises with the seeds of a session
    seed INTEGER NOT NULL,
    session INTEGER NOT NULL REFERENCES session,
    finding INTEGER NOT NULL REFERENCES finding,
    digest TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (seed, session)
) STRICT;

CREATE INDEX failure_finding ON failure (finding, session);

-- How often a finding was met in a session; so the list of findings does not grow with the failures.
CREATE TABLE tally (
    finding INTEGER NOT NULL REFERENCES finding,
    session INTEGER NOT NULL REFERENCES session,
    failures INTEGER NOT NULL,
    first_seed INTEGER NOT NULL,
    last_seed INTEGER NOT NULL,
    PRIMARY KEY (finding, session)
) STRICT, WITHOUT ROWID;

-- Apart from the failures, which are read without them.
CREATE TABLE schedule (
    failure INTEGER PRIMARY KEY REFERENCES failure,
    text TEXT NOT NULL
) STRICT;
