"""Runs curl once for each case, with as many URLs as it has repetitions.

With prior knowledge of HTTP/2 it is run once for each URL: curl 7.88 cannot use such a connection again, with any server.
"""

import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import job

PROTOCOLS = {
    "http/1.0": ["--http1.0"],
    "http/1.1": ["--http1.1"],
    "h2": ["--http2"],
    "h2c": ["--http2-prior-knowledge"],
}


def run(asked, case, urls, folder):
    heads = folder / "heads"
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(job.PATIENCE * len(urls))]
    command += PROTOCOLS[asked["protocol"]] + ["--dump-header", heads]
    command += ["--write-out", "%{http_version} %{num_connects} %{url_effective}\n"]
    if asked["ca"]:
        command += ["--cacert", asked["ca"]]
    if case["follow"]:
        command += ["--location"]
    if case["method"] == "HEAD":
        command += ["--head"]
    elif case["method"] != "GET":
        command += ["--request", case["method"]]
    for name, value in case["fields"].items():
        command += ["--header", f"{name}: {value}"]
    # Told to, curl decodes what it is sent, as the other clients do unasked.
    command += ["--compressed"] if case["fields"]["Accept-Encoding"] == "gzip" else []
    if case["form"]:
        command += ["--data", urlencode(case["form"])]
    elif case["send"]:
        command += ["--header", "Content-Type: application/octet-stream"]
        command += ["--data-binary", f"@{asked['upload']}"]
        command += ["--header", "Transfer-Encoding: chunked"] if case["send"] == "chunked" else []
    for number, url in enumerate(urls):
        command += ["--output", folder / str(number), url]
    written = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()

    found = [head for head in re.split(r"\r\n\r\n", heads.read_bytes().decode("latin-1")) if head]
    finals = [head for head in found if not re.match(r"HTTP/\S+ 1", head)][-len(urls):]
    answers, connections = [], 0
    for number, (head, line) in enumerate(zip(finals, written, strict=True)):
        version, connects, url = line.split(" ", 2)
        connections += int(connects)
        status, *fields = head.split("\r\n")
        body = b"" if case["method"] == "HEAD" else (folder / str(number)).read_bytes()
        fields = [re.split(r":\s*", field, maxsplit=1) for field in fields]
        answers.append(job.answer(int(status.split(" ")[1]), version, url, fields, body))
    return answers, connections


asked = job.read()
alone = asked["protocol"] == "h2c"
answers, connections = {}, 0
for case in asked["cases"]:
    urls = job.urls(asked, case)
    answers[case["name"]] = []
    for together in [[url] for url in urls] if alone else [urls]:
        with tempfile.TemporaryDirectory() as folder:
            found, made = run(asked, case, together, Path(folder))
        answers[case["name"]] += found
        connections += made
job.tell(answers, None if alone else connections)
