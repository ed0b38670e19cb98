"""What the Rust tests ask a client for, and what is told them: JSON on standard input and output.

A job has `base`, `protocol`, `ca` (a certificate's file, or null), `upload` (a file) and `cases`. A case has `name`,
`method`, `path` (with `{n}` for the number of the repetition), `times`, `fields`, `follow`, and either `form` or `send`,
which says how the file is sent: "whole" or "chunked".
"""

import hashlib
import json
import sys

PATIENCE = 60  # seconds for any one answer


def read():
    return json.load(sys.stdin)


def urls(job, case):
    return [job["base"] + case["path"].replace("{n}", str(n)) for n in range(case["times"])]


def answer(status, version, url, fields, body):
    fields = [[name.lower(), value] for name, value in fields]
    sha256 = hashlib.sha256(body).hexdigest()
    return {"status": status, "version": version, "path": "/" + url.split("/", 3)[3], "fields": fields,
            "bytes": len(body), "sha256": sha256}


def pieces(file):
    """The file in pieces that are no power of two long."""
    with open(file, "rb") as opened:
        while piece := opened.read(50_021):
            yield piece


def tell(answers, connections=None):
    """Connections: how many were made for all of it, where the client knows."""
    json.dump({"answers": answers, "connections": connections}, sys.stdout)
