#!/usr/bin/env python3
"""What the simulator's instructions are spent on, of a profile by callgrind: bench/shares.py FILE

A function of a part below belongs to it; what any other costs (copies, trees, allocation) goes to the parts that call it."""

import re
import sys
from collections import Counter, defaultdict

PARTS = {
    "the hash of the trace": r"raft_sim::(trace|notation)|raft_.* as core::fmt",
    "judges": r"raft_sim::(invariants|facts|history|coverage|bequest|echo)",
    "disks, log, recovery": r"raft_sim::(disk|snapshots|space|record|life)|raft_core::wal",
    "network, queue, clocks": r"raft_sim::(queue|network|clock)",
    "core": r"raft_core::",
    "machine": r"raft_machine|raft_sim::machine",
    "choices": r"raft_sim::choices|chacha",
    "turns, clients, faults": r"raft_sim::",
}
ALLOCATION = r"(malloc|_int_|realloc|free|calloc|sysmalloc|unlink_chunk|__rust|alloc::raw_vec)"


def read(path):
    """The instructions of each function itself, and those of each call from one to another."""
    names, own, calls = {}, Counter(), Counter()
    caller = callee = None
    called = False

    def name(text):
        number, new = re.match(r"(\(\d+\))(?: (.*))?$", text).groups()
        return names.setdefault(number, new)

    for line in open(path):
        line = line.rstrip("\n")
        if line.startswith("fn="):
            caller = name(line[3:])
        elif line.startswith("cfn="):
            callee = name(line[4:])
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[+\-*\d]", line):
            cost = int(line.split()[-1])
            if called:
                calls[caller, callee] += cost
            else:
                own[caller] += cost
            called = False
    return own, calls


def main():
    own, calls = read(sys.argv[1])
    callers = defaultdict(list)
    for (caller, callee), cost in calls.items():
        callers[callee].append((caller, cost))
    everyone = set(own) | set(callers) | {caller for caller, _ in calls}
    shares = {each: {} for each in everyone}
    for each in everyone:
        part = next((part for part, names in PARTS.items() if re.search(names, each)), None)
        if part:
            shares[each][part] = 1.0
    others = [each for each in everyone if not shares[each]]
    # Those who call the others may be others: their shares settle within as many rounds as calls are deep.
    for _ in range(60):
        for each in others:
            weights = Counter()
            for caller, cost in callers[each]:
                for name, share in shares[caller].items():
                    weights[name] += share * cost
            shares[each] = {name: weight / weights.total() for name, weight in weights.items()}
    spent = Counter()
    for each, cost in own.items():
        for name, share in shares[each].items():
            spent[name] += share * cost
    for name, cost in spent.most_common():
        print(f"{100 * cost / own.total():5.1f}% {name}")
    allocation = sum(cost for each, cost in own.items() if re.match(ALLOCATION, each))
    print(f"{100 * allocation / own.total():5.1f}% of all: allocation")


if __name__ == "__main__":
    main()
