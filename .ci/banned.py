#!/usr/bin/env python3
"""What the core, the machine and the simulator must not name is refused: a use of each name is planted into a crate of
its own, with the very clippy.toml, and Clippy must refuse it there and nothing else."""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATES = ["raft-core", "raft-machine", "raft-sim"]
LINTS = {"clippy::disallowed_types", "clippy::disallowed_methods"}

# What must be banned in each of the crates, each with one use or more, a line each. What a name needs beside is there.
USES = {
    "std::collections::HashMap": ["type {} = std::collections::HashMap<u8, u8>;", "type {} = std::collections::hash_map::HashMap<u8, u8>;"],
    "std::collections::HashSet": ["type {} = std::collections::HashSet<u8>;"],
    "std::hash::RandomState": ["type {} = std::hash::RandomState;", "type {} = std::collections::hash_map::RandomState;"],
    "std::time::Instant": ["pub fn {}() {{ let _ = std::time::Instant::now(); }}"],
    "std::time::SystemTime": ["pub fn {}() {{ let _ = std::time::SystemTime::now(); }}"],
    "std::thread::Builder": ["pub fn {}() {{ let _ = std::thread::Builder::new(); }}"],
    "std::thread::spawn": ["pub fn {}() {{ let _ = std::thread::spawn(|| ()); }}"],
    "std::thread::scope": ["pub fn {}() {{ std::thread::scope(|_| ()); }}"],
    "std::thread::sleep": ["pub fn {}() {{ std::thread::sleep(std::time::Duration::ZERO); }}"],
    "std::thread::current": ["pub fn {}() {{ let _ = std::thread::current(); }}"],
    "std::thread::available_parallelism": ["pub fn {}() {{ let _ = std::thread::available_parallelism(); }}"],
    "std::env::var": ["pub fn {}() {{ let _ = std::env::var(\"A\"); }}"],
    "std::env::var_os": ["pub fn {}() {{ let _ = std::env::var_os(\"A\"); }}"],
    "std::env::vars": ["pub fn {}() {{ let _ = std::env::vars(); }}"],
    "std::env::vars_os": ["pub fn {}() {{ let _ = std::env::vars_os(); }}"],
    "std::env::args": ["pub fn {}() {{ let _ = std::env::args(); }}"],
    "std::env::args_os": ["pub fn {}() {{ let _ = std::env::args_os(); }}"],
}
ALLOWED = "pub fn {}() {{ let _ = std::collections::BTreeMap::<u8, std::time::Duration>::new(); }}"


def banned(settings):
    """The names in a clippy.toml."""
    table = tomllib.loads(settings)
    return {each["path"] for lint in ("disallowed-types", "disallowed-methods") for each in table.get(lint, [])}


def refused(settings, lines):
    """The numbers of the lines that Clippy refuses with these settings."""
    with tempfile.TemporaryDirectory() as place:
        crate = Path(place)
        (crate / "src").mkdir()
        (crate / "Cargo.toml").write_text('[package]\nname = "banned"\nedition = "2024"\n[workspace]\n')
        (crate / "clippy.toml").write_text(settings)
        (crate / "src/lib.rs").write_text("\n".join(lines) + "\n")
        command = ["cargo", "clippy", "--offline", "--quiet", "--message-format=json", "--target-dir", place + "/target"]
        ran = subprocess.run(command, cwd=crate, capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"Clippy did not run (is it installed? rustup component add clippy):\n{ran.stdout}{ran.stderr}")
    messages = [json.loads(line) for line in ran.stdout.splitlines()]
    found = [each["message"] for each in messages if each["reason"] == "compiler-message"]
    found = [each for each in found if (each["code"] or {}).get("code") in LINTS]
    return {span["line_start"] for each in found for span in each["spans"] if span["is_primary"]}


def main():
    failed = []
    settings = {crate: (ROOT / crate / "clippy.toml").read_text() for crate in CRATES}
    for crate, text in settings.items():
        names = banned(text)
        failed += [f"{crate}/clippy.toml does not ban {name}" for name in sorted(USES.keys() - names)]
        failed += [f"{crate}/clippy.toml bans {name}: .ci/banned.py needs a use of it" for name in sorted(names - USES.keys())]
    planted = [(name, use) for name, uses in USES.items() for use in uses] + [(None, ALLOWED)]
    lines = [use.format(f"{'A' if use.startswith('type') else 'a'}{at}") for at, (_, use) in enumerate(planted)]
    for text in sorted(set(settings.values())):
        hit = refused(text, lines)
        crates = ", ".join(crate for crate in CRATES if settings[crate] == text)
        for at, (name, _) in enumerate(planted, 1):
            if (at in hit) != (name is not None):
                failed.append(f"{crates}: {'refused' if at in hit else 'NOT refused'}: {lines[at - 1]}")
        print(f"{crates}: {len(hit)} of {len(planted) - 1} uses of {len(USES)} banned names are refused")
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
