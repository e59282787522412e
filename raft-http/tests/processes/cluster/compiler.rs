//! The tests' few lines of C, for what safe Rust can't do.

use std::path::Path;
use std::process::Command;

/// Compiles a file of `tests/preload` to this one.
pub(crate) fn compile(source: &str, to: &Path, flags: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preload").join(source);
    let mut command = Command::new("cc");
    command.args(["-O1", "-Wall", "-Werror"]).args(flags).arg("-o").arg(to).arg(&source);
    let output = command.output().expect("there is a C compiler named cc");
    assert!(output.status.success(), "{source:?}: {}", String::from_utf8_lossy(&output.stderr));
}
