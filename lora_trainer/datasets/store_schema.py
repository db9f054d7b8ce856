"""The tables of the store of data sets. `SCHEMA` is written into the file; a change of the tables needs another number."""

from __future__ import annotations

SCHEMA = 1
TABLES = """
CREATE TABLE folders (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL, name BLOB NOT NULL,
    bytes INTEGER, mtime_ns INTEGER, width INTEGER, height INTEGER, problem TEXT NOT NULL DEFAULT '',
    stars INTEGER NOT NULL DEFAULT 0, left_out INTEGER NOT NULL DEFAULT 0,
    UNIQUE (folder, name));
CREATE TABLE sets (id TEXT PRIMARY KEY, folders TEXT NOT NULL, ending TEXT NOT NULL, opened REAL NOT NULL);
CREATE TABLE steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, edit TEXT NOT NULL,
    state TEXT NOT NULL,          -- see history.py
    changed INTEGER NOT NULL,
    owner TEXT NOT NULL DEFAULT '');
CREATE TABLE step_folders (step INTEGER NOT NULL, folder INTEGER NOT NULL, PRIMARY KEY (step, folder)) WITHOUT ROWID;
CREATE INDEX steps_of_folder ON step_folders (folder);
CREATE TABLE changes (
    step INTEGER NOT NULL, place INTEGER NOT NULL, image INTEGER NOT NULL, folder INTEGER NOT NULL, file BLOB NOT NULL,
    kind TEXT NOT NULL,           -- text, file, stars, left_out
    before BLOB, after BLOB,      -- null: no file
    PRIMARY KEY (step, place));
CREATE INDEX changes_of_image ON changes (image);
"""
