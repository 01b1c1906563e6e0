"""What an evaluation leaves and what follows from it: the record's folder (`record`), its figures (`report`), the page (`page`).

The names of `record` stand here too: `records.read(folder)`.
"""

from benchmarks.records.record import (
    FORMAT,
    HEADER,
    JOURNAL,
    REPORT,
    SAMPLES,
    VERIFIED,
    Record,
    RecordJournal,
    begin,
    commit,
    find,
    finish,
    origin,
    pack,
    provenance,
    read,
    read_json,
    write_bytes,
    write_json,
)

__all__ = [
    "FORMAT",
    "HEADER",
    "JOURNAL",
    "REPORT",
    "SAMPLES",
    "VERIFIED",
    "Record",
    "RecordJournal",
    "begin",
    "commit",
    "find",
    "finish",
    "origin",
    "pack",
    "provenance",
    "read",
    "read_json",
    "write_bytes",
    "write_json",
]
