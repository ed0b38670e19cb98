#!/usr/bin/env python3
"""What coding costs here and in nginx, in one run: `make bench`.

    nginx.py CORPUS ROUNDS

nginx (gzip on, level 6) serves the files of CORPUS on loopback. Its cost of a file is the CPU time of its worker for one
request with gzip less that for one without, so that what sending costs is left out. Ours is the CPU time of the encoders
of the product, which `benches/compression.rs` prints. Both take turns, ROUNDS times, since the machine is never quiet;
medians are compared, and nothing but ratios means anything on another machine.
"""

import http.client
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CONFIG = """
daemon off; master_process off; worker_processes 1; pid {run}/pid; error_log {run}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile off; keepalive_requests 1000000; default_type text/plain; root {corpus};
    client_body_temp_path {run}/1; proxy_temp_path {run}/2; fastcgi_temp_path {run}/3; uwsgi_temp_path {run}/4;
    scgi_temp_path {run}/5;
    open_file_cache max=100;
    gzip_comp_level 6; gzip_types *; gzip_min_length 1;
    server {{ listen 127.0.0.1:{on}; gzip on; }}
    server {{ listen 127.0.0.1:{off}; gzip off; }}
}}
"""

# A file is asked for so often in a row that this many bytes are coded.
BYTES_AT_A_TIME = 2_000_000


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Nginx:
    """nginx in a single process, with and without gzip."""

    def __init__(self, corpus, run):
        on, off = free_port(), free_port()
        config = pathlib.Path(run, "nginx.conf")
        config.write_text(CONFIG.format(run=run, corpus=corpus.resolve(), on=on, off=off))
        self.process = subprocess.Popen(["nginx", "-p", run, "-c", str(config)], stderr=subprocess.DEVNULL)
        self.connections = [http.client.HTTPConnection("127.0.0.1", port) for port in (off, on)]
        for connection in self.connections:
            for _ in range(100):
                try:
                    connection.connect()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
        self.connections[0].connect()

    def cpu(self):
        """Nanoseconds on a processor so far."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def cost(self, name, length):
        """CPU nanoseconds of coding a file once, and its coded size."""
        times = max(1, BYTES_AT_A_TIME // length)
        took, sizes = [], []
        for connection in self.connections:
            begin = self.cpu()
            for _ in range(times):
                connection.request("GET", f"/{name}", headers={"Accept-Encoding": "gzip"})
                size = len(connection.getresponse().read())
            took.append((self.cpu() - begin) / times)
            sizes.append(size)
        assert sizes[0] == length, f"{name} came with {sizes[0]} bytes"
        return took[1] - took[0], sizes[1]


def bench_program():
    """Builds the bench and says where it is."""
    command = ["cargo", "bench", "--locked", "--bench", "compression", "--no-run", "--message-format=json"]
    for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "compression":
            return message["executable"]
    sys.exit("cargo built no bench")


def main():
    corpus, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    files = {path.name: path.stat().st_size for path in sorted(corpus.iterdir()) if not path.name.startswith(".")}
    program = bench_program()
    costs, sizes = {}, {}

    def note(coder, name, cost, size):
        costs.setdefault((coder, name), []).append(cost)
        sizes[coder, name] = size

    with tempfile.TemporaryDirectory() as run:
        nginx = Nginx(corpus, run)
        ours = subprocess.Popen([program, "--figures"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            for _ in range(rounds):
                for name, length in files.items():
                    note("nginx gzip 6", name, *nginx.cost(name, length))
                    print(corpus / name, file=ours.stdin, flush=True)
                    for figure in json.loads(ours.stdout.readline()):
                        note(figure["coder"], name, figure["cpu_ns"], figure["coded_bytes"])
        finally:
            for process in (nginx.process, ours):
                process.terminate()
                process.wait()

    report(files, {key: statistics.median(values) for key, values in costs.items()}, sizes)


def report(files, costs, sizes):
    """Prints the table: sums over the corpus, and what it is made of."""
    yardstick = "nginx gzip 6"
    total = sum(files.values())
    print(f"\n{'':<16}{'MB/s':>8}{'unfolds':>9}{'CPU':>7}{'size':>7}   of each file, nginx's gzip being 1: CPU/size")
    for coder in dict.fromkeys(coder for coder, _ in costs):
        cost, size = (sum(of[coder, name] for name in files) for of in (costs, sizes))
        cost_of_nginx, size_of_nginx = (sum(of[yardstick, name] for name in files) for of in (costs, sizes))
        each = (
            f"{costs[coder, name] / costs[yardstick, name]:.2f}/{sizes[coder, name] / sizes[yardstick, name]:.3f}"
            for name in files
        )
        print(
            f"{coder:<16}{total * 1000 / cost:8.1f}{total / size:9.3f}"
            f"{cost / cost_of_nginx:7.2f}{size / size_of_nginx:7.3f}   {' '.join(each)}"
        )
    print("\nfile, bytes, and CPU µs and bytes of nginx's gzip 6 per request")
    for name, length in files.items():
        print(f"{name:<28}{length:>8}{costs[yardstick, name] / 1000:>8.0f}{sizes[yardstick, name]:>8}")


if __name__ == "__main__":
    main()
