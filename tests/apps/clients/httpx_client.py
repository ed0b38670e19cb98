"""Python's httpx: one client, HTTP/2 where TLS offers it."""

import ssl

import httpx

import job

asked = job.read()
trust = ssl.create_default_context(cafile=asked["ca"]) if asked["ca"] else True
client = httpx.Client(http2=asked["protocol"] == "h2", verify=trust, trust_env=False, timeout=job.PATIENCE)


def ask(case, url):
    more = {}
    if case["form"]:
        more = {"data": case["form"]}
    elif case["send"] == "whole":
        with open(asked["upload"], "rb") as file:
            more = {"content": file.read()}
    elif case["send"] == "chunked":
        more = {"content": job.pieces(asked["upload"])}
    answer = client.request(case["method"], url, headers=case["fields"], follow_redirects=case["follow"], **more)
    version = answer.http_version.removeprefix("HTTP/")
    fields = answer.headers.multi_items()
    return job.answer(answer.status_code, version, str(answer.url), fields, answer.content)


job.tell({case["name"]: [ask(case, url) for url in job.urls(asked, case)] for case in asked["cases"]})
