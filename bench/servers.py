#!/usr/bin/env python3
"""Three nodes of httpraft beside three of etcd, both with their data on the same disk, under the load of the same generator
in turns (A B A B), and beside them what no server can beat: a hyper server that only says hello, and the disk's own
append + fdatasync. Prints the tables of docs/performance.md.

    bench/servers.py [--short] [--rounds N] [--seconds S] [--clients 1,16,64,256] [--kills N] [--log-mib 1024] [--only PARTS]

--short takes a minute and is for ratios only. --only takes a comma-separated choice of disk, log, writes, reads, stale,
open, failover, handover, recovery. Ends with 1 if a server did not come up, or ours gave a write or read an error or no
answer; never because something was slow. HTTPRAFT, LOG, HELLO and RAFT_ENGINE name the binaries if they are not
those of `cargo build --release -p raft-http --bin httpraft --example log_speed` and
`cargo build --release --manifest-path bench/Cargo.toml --target-dir bench/target --features raft-engine`. etcd is Debian's
etcd-server; without it, or without raft-engine, the rest is measured."""

import argparse
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def binary(variable, default):
    """Where it lies, for processes that run in other directories too."""
    return os.path.abspath(os.environ.get(variable, default))


HTTPRAFT = binary("HTTPRAFT", TARGET / "httpraft")
HELLO = binary("HELLO", ROOT / "bench/target/release/hello")
LOG = binary("LOG", TARGET / "examples/log_speed")
RAFT_ENGINE = binary("RAFT_ENGINE", ROOT / "bench/target/release/raft_engine")
ETCD = shutil.which("etcd")
PARTS = ["disk", "log", "writes", "reads", "stale", "open", "failover", "handover", "recovery"]
HEARTBEAT_MS = 100
VALUE = b"x" * 256


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(address, method, path, body=None, timeout=5):
    """Status, headers and body; raises OSError or http.client.HTTPException if there is no answer."""
    connection = http.client.HTTPConnection(address, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def waited(what, seconds, look):
    """The first true value that looking gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            if found := look():
                return found
        time.sleep(0.01)
    sys.exit(f"not within {seconds} s: {what}")


class Servers:
    """Processes of one kind, ended by their ids."""

    def __init__(self, name, target, count, directory, election_ms=None):
        self.name, self.target, self.directory, self.election_ms = name, target, directory / name, election_ms
        self.directory.mkdir()
        self.apis = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        self.running = [None] * count

    def start(self, node):
        with open(self.directory / f"{node}.log", "ab") as log:
            self.running[node] = subprocess.Popen(
                self.command(node), cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, node, by=signal.SIGKILL):
        self.running[node].send_signal(by)
        self.running[node].wait()
        self.running[node] = None

    def end(self):
        for node, process in enumerate(self.running):
            if process:
                self.kill(node)

    def pids(self):
        return ",".join(str(process.pid) for process in self.running if process)

    def leader(self):
        return 0

    def term(self):
        return 0


class Hello(Servers):
    def command(self, node):
        return [HELLO, self.apis[node]]


class Httpraft(Servers):
    settings = []

    def __init__(self, count, directory, election_ms, name="httpraft"):
        super().__init__(name, "httpraft", count, directory, election_ms)
        peers = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        (self.directory / "config.json").write_text(json.dumps({"peers": peers, "apis": self.apis}))

    def command(self, node):
        return [HTTPRAFT, "--log", "error", str(node), "--heartbeat", f"{HEARTBEAT_MS}ms",
                "--election-timeout", f"{self.election_ms}ms", *self.settings]

    def leader(self):
        def look():
            for api in (api for api, process in zip(self.apis, self.running) if process):
                leader = ask(api, "GET", "/v1/status")[1].get("raft-leader")
                if leader in self.apis and self.running[self.apis.index(leader)]:
                    return [self.apis.index(leader)]
        return waited("a leader of httpraft", 20, look)[0]

    def term(self):
        return json.loads(ask(self.apis[self.leader()], "GET", "/v1/status")[2])["term"]

    def write(self, api, number):
        return ask(api, "PUT", f"/v1/kv/{number:016}", VALUE)[0] in (200, 201)


class Etcd(Servers):
    def __init__(self, count, directory, election_ms):
        super().__init__("etcd", "etcd", count, directory, election_ms)
        self.peers = [f"http://127.0.0.1:{free_port()}" for _ in range(count)]

    def command(self, node):
        cluster = ",".join(f"n{id}={peer}" for id, peer in enumerate(self.peers))
        api, peer = f"http://{self.apis[node]}", self.peers[node]
        return [ETCD, "--name", f"n{node}", "--data-dir", str(self.directory / f"node-{node}"),
                "--listen-client-urls", api, "--advertise-client-urls", api,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", cluster, "--log-level", "error",
                "--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(self.election_ms),
                "--quota-backend-bytes", str(4 << 30)]

    def status(self, node):
        return json.loads(ask(self.apis[node], "POST", "/v3/maintenance/status", "{}")[2])

    def leader(self):
        def look():
            for node, process in enumerate(self.running):
                if process:
                    status = self.status(node)
                    if status.get("leader") == status["header"]["member_id"]:
                        return [node]
        return waited("a leader of etcd", 20, look)[0]

    def term(self):
        return int(self.status(self.leader())["raftTerm"])

    def write(self, api, number):
        key, value = (base64.b64encode(part).decode() for part in (f"{number:016}".encode(), VALUE))
        status, _, body = ask(api, "POST", "/v3/kv/put", json.dumps({"key": key, "value": value}))
        return status == 200 and b"revision" in body


def load(servers, operation, clients, seconds, *more):
    """The figures of one load on the leader, and how many terms began under it."""
    before = servers.term()
    command = [HTTPRAFT, "bench", "-o", "json", "--target", servers.target, "--operation", operation,
               "-c", str(clients), "-d", f"{round(seconds * 1000)}ms", "-w", f"{round(seconds * 300)}ms",
               "--pids", servers.pids(), "--endpoints", servers.apis[servers.leader()], *more]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")
    return json.loads(ran.stdout) | {"elections": servers.term() - before}


def median(numbers):
    return statistics.median(numbers)


def side_by_side(all_servers, operation, options):
    """A table of loads in turns: each round has all servers at all numbers of clients."""
    figures = {}
    for _ in range(options.rounds):
        for clients in options.clients:
            for servers in all_servers:
                figures.setdefault((clients, servers.name), []).append(
                    load(servers, operation, clients, options.seconds))
    names = [servers.name for servers in all_servers]
    print(f"\n### {operation}: {options.rounds} rounds of {options.seconds} s, values of 256 bytes, at the leader\n")
    print("| clients | server | requests/s | p50 ms | p90 | p99 | p99.9 | max | server CPU us | errors | hung | elections | "
          "requests/s : etcd | CPU : etcd | p50 : etcd | p99 : etcd | requests/s : hello |")
    print("|" + "---|" * 17)
    wrong = []
    for clients in options.clients:
        for name in names:
            rows = figures[clients, name]

            def of(get, rows=rows):
                return median([get(row) for row in rows])

            def ratio(other, get, rows=rows, clients=clients):
                if other not in names:
                    return "-"
                pairs = zip(rows, figures[clients, other])
                return f"{median([get(ours) / max(get(theirs), 1e-9) for ours, theirs in pairs]):.2f}"

            rate, cpu = (lambda row: row["per_second"]), (lambda row: row["server_cpu_us"])
            latency = [lambda row, q=q: row["latency_ms"][q] for q in ("p50", "p90", "p99", "p99.9", "max")]
            shown = " | ".join(f"{of(get):.2f}" for get in latency)
            errors = sum(row["total"]["failed"] for row in rows)
            hung = sum(row["errors"].get("timeout", 0) for row in rows)
            elections = sum(row["elections"] for row in rows)
            if errors and name == "httpraft":
                wrong.append(f"{operation} with {clients} clients: {errors} errors: {[row['errors'] for row in rows]}")
            print(f"| {clients} | {name} | {of(rate):.0f} | {shown} | {of(cpu):.0f} | {errors} | {hung} | {elections} | "
                  f"{ratio('etcd', rate)} | {ratio('etcd', cpu)} | {ratio('etcd', latency[0])} | "
                  f"{ratio('etcd', latency[2])} | {ratio('hello', rate)} |", flush=True)
    return wrong


def open_loop(servers, options):
    """H5: latencies at 70% of what a closed loop of most clients gets, from the moment at which requests were due."""
    clients = options.clients[-1]
    ratios = []
    print(f"\n### open loop: put at 70% of the rate with {clients} clients, httpraft\n")
    print("| rate asked | answered/s | p50 ms | p99 | p99.9 | p99 : p50 |\n|" + "---|" * 6)
    for _ in range(options.rounds):
        rate = 0.7 * load(servers, "put", clients, options.seconds)["per_second"]
        got = load(servers, "put", clients, options.seconds, "--rate", f"{rate:.0f}")
        p50, p99, p999 = (got["latency_ms"][q] for q in ("p50", "p99", "p99.9"))
        ratios.append(p99 / p50)
        print(f"| {rate:.0f} | {got['per_second']:.0f} | {p50:.2f} | {p99:.2f} | {p999:.2f} | {p99 / p50:.1f} |")
    print(f"\nmedian p99 : p50 = {median(ratios):.1f}")


def others(servers, leader):
    return [api for node, api in enumerate(servers.apis) if node != leader and servers.running[node]]


def start_again(servers, node):
    servers.start(node)
    waited("a write at the node that came back", 20, lambda: servers.write(servers.apis[node], 0))
    # The node that came back has the whole log before the next one ends.
    time.sleep(1)


def failover(servers):
    """Seconds from the leader's SIGKILL to the first answer to a write that began after it, at any of the others."""
    leader = servers.leader()
    apis = others(servers, leader)
    done, number = threading.Event(), 0
    first = []

    def write(api, number):
        with contextlib.suppress(OSError, http.client.HTTPException):
            if servers.write(api, number):
                first.append(time.monotonic())
                done.set()

    servers.kill(leader)
    killed = time.monotonic()
    while not done.wait(0.01):
        if time.monotonic() - killed > 20:
            sys.exit(f"{servers.name}: no write succeeded within 20 s after the leader's end")
        number += 1
        threading.Thread(target=write, args=(apis[number % len(apis)], number), daemon=True).start()
    start_again(servers, leader)
    return min(first) - killed


def handover(servers):
    """Four clients write at the others, one write after the other, while the leader gets SIGTERM. The longest time
    without an acknowledgement in the second before it and from it on, and how many writes failed."""
    leader = servers.leader()
    apis = others(servers, leader)
    ended, acknowledged, failed = threading.Event(), [], []

    def client(number):
        while not ended.is_set():
            done = False
            with contextlib.suppress(OSError, http.client.HTTPException):
                done = servers.write(apis[number % len(apis)], number)
            (acknowledged if done else failed).append(time.monotonic())

    clients = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(4)]
    began = time.monotonic()
    for thread in clients:
        thread.start()
    time.sleep(1)
    told = time.monotonic()
    servers.kill(leader, signal.SIGTERM)
    # Until the others have gone on for a while, if they ever do.
    waited("writes after the leader's SIGTERM", 20, lambda: max(acknowledged) > told + 1)
    ended.set()
    for thread in clients:
        thread.join()
    times = sorted(acknowledged)
    gaps = [(later, later - earlier) for earlier, later in zip([began, *times], times)]
    start_again(servers, leader)
    before = max((gap for later, gap in gaps if later < told), default=told - began)
    return before, max(gap for later, gap in gaps if later >= told), len(failed)


def per_server(all_servers, options, measure):
    """What it measures of each, in turns."""
    rows = {servers.name: [] for servers in all_servers}
    for _ in range(options.kills):
        for servers in all_servers:
            rows[servers.name].append(measure(servers))
    return rows


def spread(seconds):
    return " | ".join(f"{1000 * of(seconds):.0f}" for of in (median, min, max))


def failovers(all_servers, options):
    times = per_server(all_servers, options, failover)
    print(f"\n### SIGKILL of the leader to the first write, {options.kills} kills in turns, "
          f"heartbeat {HEARTBEAT_MS} ms, election timeout {options.election_ms} ms\n")
    print("| server | median ms | least | most |\n|---|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {spread(seconds)} |")
    if "etcd" in times:
        print(f"\nhttpraft : etcd = {median(times['httpraft']) / median(times['etcd']):.2f}")


def handovers(all_servers, options):
    print(f"\n### the gap in writes at SIGTERM of the leader, {options.kills} times in turns, 4 clients at the others\n")
    print("| server | median ms | least | most | longest gap in the second before, median ms | failed writes |\n|" + "---|" * 6)
    for name, rows in per_server(all_servers, options, handover).items():
        before, gaps, failed = zip(*rows)
        print(f"| {name} | {spread(gaps)} | {1000 * median(before):.0f} | {sum(failed)} |")


def log(directory, options):
    """They take turns write by write; of each figure the median of the rounds is shown."""
    print("\n### the log beside a naive preallocated writer of the same bytes to the same places, and raft-engine: "
          f"{options.rounds} rounds, values of 256 bytes\n", flush=True)
    if not pathlib.Path(LOG).exists():
        sys.exit(f"{LOG} is not there: cargo build --release -p raft-http --example log_speed")
    engine = [RAFT_ENGINE] if pathlib.Path(RAFT_ENGINE).exists() else []
    rounds = []
    for _ in range(options.rounds):
        ran = subprocess.run([LOG, directory / "log", *engine], check=True, stdout=subprocess.PIPE, text=True)
        shutil.rmtree(directory / "log")
        head, line, *rows = ran.stdout.splitlines()
        rounds.append([row.strip("| ").split(" | ") for row in rows])
    print(f"{head}\n{line}")
    for rows in zip(*rounds):
        figures = [median(map(float, column)) for column in list(zip(*rows))[1:]]
        exact = [2 if "." in cell else 0 for cell in rows[0][1:]]
        print("| " + " | ".join([rows[0][0], *(f"{figure:.{digits}f}" for figure, digits in zip(figures, exact))]) + " |")
    if not engine:
        print(f"\n{RAFT_ENGINE} is not there: the others run without it")


def disk(directory):
    """The disk's own append + fdatasync of 4 KiB in a file that is there and filled with zeros, and in one that grows."""
    print("\n### the disk: append + fdatasync of 4 KiB\n\n| file | syncs/s | p50 us | p99 us |\n|---|---|---|---|")
    for kind in ("preallocated", "growing"):
        path = directory / "disk"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if kind == "preallocated":
            os.write(file, bytes(64 << 20))
            os.fsync(file)
            os.lseek(file, 0, os.SEEK_SET)
        block, times = b"x" * 4096, []
        while len(times) < 2000:
            began = time.perf_counter()
            os.write(file, block)
            os.fdatasync(file)
            times.append(time.perf_counter() - began)
        os.close(file)
        path.unlink()
        times.sort()
        print(f"| {kind} | {len(times) / sum(times):.0f} | {1e6 * median(times):.0f} | {1e6 * times[1980]:.0f} |")


class Keeping(Httpraft):
    """One node that takes no snapshot before its log has 1 GiB or a million entries."""
    settings = ["--snapshot-bytes", "1GiB", "--snapshot-entries", "1000000"]


def recovery(directory, options):
    servers = Keeping(1, directory, options.election_ms, "recovery")
    entry = 64 << 10
    try:
        servers.start(0)
        written = 0
        while written < options.log_mib << 20:
            servers.leader()
            got = load(servers, "append", 16, 1, "--size", str(entry))
            if got["total"]["failed"]:
                sys.exit(f"the log can't be filled: {got['errors']}")
            written += got["total"]["acknowledged"] * entry
        status = json.loads(ask(servers.apis[0], "GET", "/v1/status")[2])
        servers.kill(0)
        began = time.monotonic()
        servers.start(0)
        waited("a node that is ready", 120, lambda: ask(servers.apis[0], "GET", "/readyz")[0] == 200)
        took = time.monotonic() - began
    finally:
        servers.end()
    print(f"\n### recovery\n\n{written >> 20} MiB in entries of 64 KiB (snapshot at index {status['snapshot_index']}), "
          f"one node: {took:.2f} s from its start to `/readyz` 200, its own election of up to {2 * options.election_ms} ms "
          f"included: {(written >> 20) / took:.0f} MiB/s")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, 16, 64, 256])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--log-mib", type=int, default=1024)
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "target", help="whose disk is used")
    parser.add_argument("--only", type=lambda text: text.split(","), help=",".join(PARTS))
    options = parser.parse_args()
    # Of both clusters; httpraft's default.
    options.election_ms = 500
    if options.short:
        options.rounds, options.seconds, options.clients = 1, 1, [1, 64]
        options.kills, options.log_mib = 1, 64
        # A leader that a slow machine let wait for half a second stays one.
        options.election_ms = 2000
    options.only = options.only or PARTS
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    return options


def main():
    options = arguments()
    options.directory.mkdir(exist_ok=True)
    # So that nothing is left running when this is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    print(f"{time.strftime('%d %B %Y %H:%M UTC', time.gmtime())}, {os.cpu_count()} cores, load average before: "
          f"{os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-") as directory, contextlib.ExitStack() as ends:
        directory = pathlib.Path(directory)
        if "disk" in options.only:
            disk(directory)
        if "log" in options.only:
            log(directory, options)
        ours = Httpraft(3, directory, options.election_ms)
        clusters = [ours]
        if ETCD:
            clusters.append(Etcd(3, directory, options.election_ms))
        else:
            print("\netcd is not on this machine (apt-get install etcd-server): the others run without it")
        hello = Hello("hello", "plain", 1, directory)
        for servers in [*clusters, hello]:
            ends.callback(servers.end)
            for node in range(len(servers.running)):
                servers.start(node)
            servers.leader()
        waited("hello", 5, lambda: ask(hello.apis[0], "GET", "/")[0] == 200)
        wrong = []
        for part, operation in (("writes", "put"), ("reads", "get"), ("stale", "stale")):
            if part in options.only:
                wrong += side_by_side([*clusters, hello], operation, options)
        if "open" in options.only:
            open_loop(ours, options)
        if "failover" in options.only:
            failovers(clusters, options)
        if "handover" in options.only:
            handovers(clusters, options)
        # Idle ones would take their share of the machine.
        ends.close()
        if "recovery" in options.only:
            recovery(directory, options)
    print(f"\nload average after: {os.getloadavg()[0]:.1f}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
