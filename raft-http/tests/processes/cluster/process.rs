//! One `httpraft` process. It never outlives this value.

use super::{ends_within, now_or_panic};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A process that was started and not yet waited for.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `httpraft` with what the command already has; both its outputs go to the end of this file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Process {
        let open = || OpenOptions::new().create(true).append(true).open(log).expect("the log can be opened");
        let (out, errors): (File, File) = (open(), open());
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().expect("httpraft starts");
        Process { child, log: log.to_path_buf() }
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("own child can be killed");
        self.child.wait().expect("own child can be waited for");
    }

    /// SIGKILL without waiting for the end, so that several go at once.
    pub(crate) fn begin_kill(&mut self) {
        self.child.kill().expect("own child can be killed");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT, as Ctrl-C sends it.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGSTOP: it stands still as if its machine slept.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn wake(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("own child can be signalled");
    }

    /// Waits until it ends by itself. The exit code, or `None` if a signal ended it.
    pub(crate) fn ended(mut self, within: Duration) -> Option<i32> {
        let mut status: Option<ExitStatus> = None;
        let ended = ends_within(within, || {
            status = self.child.try_wait().expect("own child can be waited for");
            status.is_some()
        });
        now_or_panic(ended, "the process has ended", within);
        status.and_then(|status| status.code())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("own child can be waited for").is_none()
    }

    /// All that it and its predecessors wrote to the same file.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its output has this text. Gives the line.
    pub(crate) fn says(&self, text: &str, within: Duration) -> String {
        let mut line = None;
        let said = ends_within(within, || {
            line = self.output().lines().find(|line| line.contains(text)).map(str::to_string);
            line.is_some()
        });
        now_or_panic(said, &format!("the process says {text:?}"), within);
        line.unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Either it has ended already, or this ends it; both are fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
