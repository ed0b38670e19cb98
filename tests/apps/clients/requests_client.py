"""Python's requests: one session, HTTP/1.1."""

import requests

import job

asked = job.read()
session = requests.Session()
session.trust_env = False
session.verify = asked["ca"] or True


def ask(case, url):
    data = case["form"]
    if case["send"]:
        # A file has a length, an iterator has none.
        data = open(asked["upload"], "rb") if case["send"] == "whole" else job.pieces(asked["upload"])
    answer = session.request(case["method"], url, headers=case["fields"], data=data, timeout=job.PATIENCE,
                             allow_redirects=case["follow"])
    version = {10: "1.0", 11: "1.1"}[answer.raw.version]
    fields = answer.raw.headers.iteritems()
    return job.answer(answer.status_code, version, answer.url, fields, answer.content)


answers = {case["name"]: [ask(case, url) for url in job.urls(asked, case)] for case in asked["cases"]}
pool = session.get_adapter(asked["base"]).poolmanager.connection_from_url(asked["base"])
job.tell(answers, pool.num_connections)
