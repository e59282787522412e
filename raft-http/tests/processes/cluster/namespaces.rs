//! Tests that change the system they run on, in namespaces of their own.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::process::Command;

const INSIDE: &str = "HTTPRAFT_TEST_IN_NAMESPACES";
const OWN: [&str; 5] = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Runs this test once more as the first process of its own mount and process namespaces, and says whether this is
/// that run. Whatever becomes of it, its mounts and its processes end with it.
///
/// # Panics
/// If the other run failed, or this user may not make one.
pub(crate) fn in_own_namespaces(test: &str) -> bool {
    inside(test, &OWN, &[])
}

/// .. and with a network of its own, in which there is nothing yet: its interfaces, filters and further namespaces end
/// with it, too. Its directories are in memory: it is not about syncs, and a disk that others keep busy would let no
/// leader last.
pub(crate) fn in_own_network(test: &str) -> bool {
    inside(test, &[&OWN[..], &["--net"]].concat(), &[("TMPDIR", "/dev/shm")])
}

fn inside(test: &str, own: &[&str], variables: &[(&str, &str)]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    command.args(own).arg(std::env::current_exe().expect("this program has a path"));
    command.args([test, "--exact", "--nocapture", "--test-threads", "1"]).env(INSIDE, "1");
    command.envs(variables.iter().copied());
    let status = command.status().expect("unshare (of util-linux) is there");
    assert!(status.success(), "the test in its own namespaces failed, as said above (they need root)");
    false
}

/// Runs one of the system's tools to its end. Gives what it printed.
///
/// # Panics
/// If it is not there or fails.
pub(crate) fn run<A: AsRef<OsStr> + Debug>(program: &str, arguments: &[A]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} (packages e2fsprogs, mount, iproute2, nftables): {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
