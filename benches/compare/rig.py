"""What runs during a comparison: the upstream, nginx, sidecars, and the load.

The proxies run on the first half of the cores, the load and the upstream on the other half, each
proxy with as many traffic threads as it has cores. CPU time is that of the proxy's processes
(user and system), read after everything that was queued is validated.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
BODY = (HERE / "body.json").read_text()
ORDERS = "/shops/covent-garden/orders"
TICK = os.sysconf("SC_CLK_TCK")
CONTRACT_OPERATIONS = 5

# Name → method, target, and whether the body is sent.
WORKLOADS = {
    "GET 1 KiB": ("GET", f"{ORDERS}/100000234571", False),
    "POST 1 KiB": ("POST", f"{ORDERS}?dry_run=true", True),
    "GET 64 KiB": ("GET", ORDERS, False),
}

UPSTREAM = """
worker_processes {workers}; daemon off; pid {dir}/upstream.pid; error_log {dir}/upstream.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; default_type application/json;
    client_body_temp_path {dir}/u1; proxy_temp_path {dir}/u2; fastcgi_temp_path {dir}/u3;
    uwsgi_temp_path {dir}/u4; scgi_temp_path {dir}/u5; open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {dir};
        location / {{ return 200 '{body}'; }}
        location = {orders} {{ if ($request_method = GET) {{ rewrite ^ /list.json last; }} return 200 '{body}'; }}
        location = /list.json {{ }}
    }}
}}
"""

PROXY = """
worker_processes {workers}; daemon off; pid {dir}/proxy.pid; error_log {dir}/proxy.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
    client_body_temp_path {dir}/p1; proxy_temp_path {dir}/p2; fastcgi_temp_path {dir}/p3;
    uwsgi_temp_path {dir}/p4; scgi_temp_path {dir}/p5;
    upstream service {{
        server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

SCRIPT = """
{body}
wrk.method = "{method}"
wrk.headers["X-Consumer-Id"] = "bench"
done = function(summary, latency, requests)
    local failed = summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.status + summary.errors.timeout
    io.write(string.format('{{"requests": %d, "us": %d, "failed": %d}}\\n',
        summary.requests, summary.duration, failed))
end
"""
SCRIPT_BODY = """
local file = io.open("{file}"); wrk.body = file:read("*a"); file:close()
wrk.headers["Content-Type"] = "application/json"
"""


class Refused(Exception):
    """A process that would not start, with what it said."""


class Proxy:
    """A proxy under load: its port, its processes and, for a sidecar, its admin port."""

    def __init__(self, name, port, process, admin=None):
        self.name, self.port, self.process, self.admin = name, port, process, admin

    def processes(self):
        return [self.process.pid, *children_of(self.process.pid)]

    def cpu_seconds(self):
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def memory_mib(self, which="VmRSS"):
        """Resident memory now, or with VmHWM the most there ever was."""
        total = 0
        for pid in self.processes():
            found = re.search(rf"{which}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
            total += int(found.group(1)) if found else 0
        return total / 1024

    def counts(self):
        """Exchanges seen, validated and skipped so far, violations, and records written."""
        if self.admin is None:
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        names = {
            "cvt_exchanges_total": "seen",
            "cvt_exchanges_validated_total": "validated",
            "cvt_exchanges_skipped_total": "skipped",
            "cvt_violations_total": "violations",
            "cvt_records_written_total": "written",
        }
        sums = dict.fromkeys(names.values(), 0)
        for line in lines:
            name = re.split(r"[ {]", line, maxsplit=1)[0]
            if name in names:
                sums[names[name]] += float(line.rsplit(" ", 1)[1])
        return {name: int(value) for name, value in sums.items()}

    def settled_counts(self):
        """The counts, once everything that was seen is validated or skipped."""
        deadline = time.monotonic() + 60
        while True:
            counts = self.counts()
            if not counts or counts["validated"] + counts["skipped"] >= counts["seen"]:
                return counts
            if time.monotonic() > deadline:
                sys.exit(f"{self.name}: not everything that was seen was validated or skipped: {counts}")
            time.sleep(0.02)


def children_of(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, ready, process, log, step=0.02):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Refused(f"{what} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(step)
    raise Refused(f"{what} is not ready:\n{log.read_text()[-4000:]}")


def contract(operations):
    """The text of contract.yaml with further operations, so that it has `operations`."""
    text = (HERE / "contract.yaml").read_text()
    more = "".join(
        f"  /more/{n}/{{id}}:\n    get:\n      parameters:\n"
        "        - {name: id, in: path, required: true, schema: {type: string}}\n"
        "      responses:\n        '200':\n          description: fine\n          content:\n"
        "            application/json:\n              schema: {type: object, properties: {id: {type: integer}}}\n"
        for n in range(max(0, operations - CONTRACT_OPERATIONS))
    )
    return text.replace("\ncomponents:", f"\n{more}components:", 1)


class Rig:
    """Everything that runs, in one temporary directory."""

    def __init__(self, binary, pace, folder):
        self.binary, self.pace_binary = str(Path(binary).resolve()), str(Path(pace).resolve())
        self.folder, self.processes = Path(folder), []
        cores = sorted(os.sched_getaffinity(0))
        half = max(1, len(cores) // 2)
        self.proxy_cores, self.load_cores = cores[:half], cores[half:] or cores
        self.upstream = free_port()
        self.started = 0
        orders = (64 * 1024) // (len(BODY) + 2) + 1
        self.list_bytes = (self.folder / "list.json").write_text(f"[{', '.join([BODY] * orders)}]")
        for name, (method, _, sends) in WORKLOADS.items():
            body = SCRIPT_BODY.format(file=HERE / "body.json") if sends else ""
            self.script(name).write_text(SCRIPT.format(body=body, method=method))

    def script(self, workload):
        return self.folder / f"{workload.replace(' ', '-')}.lua"

    def spawn(self, name, cores, command, **options):
        log = self.folder / f"{name}.out"
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
        process = subprocess.Popen(
            pinned, stdin=subprocess.DEVNULL, stdout=log.open("w"), stderr=subprocess.STDOUT, **options
        )
        self.processes.append(process)
        return process, log

    def nginx(self, name, text, cores, port):
        config = self.folder / f"{name}.conf"
        config.write_text(text)
        process, log = self.spawn(name, cores, ["nginx", "-p", str(self.folder), "-c", str(config)])
        wait_until(name, lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, process, log)
        return process

    def start_upstream(self):
        text = UPSTREAM.format(
            workers=len(self.load_cores), dir=self.folder, port=self.upstream, orders=ORDERS,
            body=BODY.replace("'", "\\'"),
        )
        self.nginx("upstream", text, self.load_cores, self.upstream)

    def start_nginx(self):
        port = free_port()
        text = PROXY.format(
            workers=len(self.proxy_cores), dir=self.folder, port=port, upstream=self.upstream
        )
        return Proxy("nginx", port, self.nginx("nginx", text, self.proxy_cores, port))

    def start_sidecar(self, name, mode, operations=CONTRACT_OPERATIONS, **settings):
        port, admin = free_port(), free_port()
        self.started += 1
        folder = self.folder / f"sidecar-{self.started}"
        folder.mkdir()
        (folder / "contract.yaml").write_text(contract(operations))
        command = [
            self.binary, "run", "--spec", "contract.yaml",
            "--upstream", f"http://127.0.0.1:{self.upstream}", "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{admin}", "--mode", mode,
        ]
        env = {
            "PATH": os.environ["PATH"],
            "CVT_TRAFFIC_THREADS": str(len(self.proxy_cores)),
            **settings,
        }
        start = time.monotonic()
        process, log = self.spawn(f"{name}-{self.started}", self.proxy_cores, command, cwd=folder, env=env)
        ready = f"http://127.0.0.1:{admin}/readyz"
        wait_until(name, lambda: urllib.request.urlopen(ready, timeout=2).status == 200, process, log, 0.002)
        proxy = Proxy(name, port, process, admin)
        proxy.ready_ms = (time.monotonic() - start) * 1000
        return proxy

    def flood(self, port, workload, connections, seconds):
        """As many requests as fit, over `connections` connections: wrk."""
        threads = min(connections, max(1, len(self.load_cores) // 2))
        command = [
            "taskset", "-c", ",".join(map(str, self.load_cores)), "wrk", "-t", str(threads),
            "-c", str(connections), "-d", f"{seconds}s", "-s", str(self.script(workload)),
            f"http://127.0.0.1:{port}{WORKLOADS[workload][1]}",
        ]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(out.strip().splitlines()[-1])

    def pace(self, port, workload, connections, rate, seconds):
        """Requests at a fixed rate, evenly spread: pace.rs. Latencies in µs."""
        method, target, sends = WORKLOADS[workload]
        body = BODY.encode() if sends else b""
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Consumer-Id: bench\r\n"
        if sends:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = self.folder / "request"
        request.write_bytes(head.encode() + b"\r\n" + body)
        command = [
            "taskset", "-c", ",".join(map(str, self.load_cores)), self.pace_binary, f"127.0.0.1:{port}",
            str(request), str(connections), f"{rate:.1f}", "0.3", str(seconds),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"pace: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def stop(self, proxies=None):
        chosen = self.processes if proxies is None else [proxy.process for proxy in proxies]
        for process in reversed(chosen):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in chosen:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        self.processes = [process for process in self.processes if process not in chosen]
