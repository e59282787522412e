//! How the process ends: a code that scripts may rely on, and one line for people.

use crate::config::ConfigError;
use std::fmt;

/// The exit codes of `httpraft` (the numbers of `sysexits.h` where it has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line, the settings or the surroundings that they name are wrong.
    Usage = 2,
    /// This node was removed from its cluster.
    Removed = 3,
    /// Whether the request took effect can't be told.
    OutcomeUnknown = 4,
    /// The data directory lost something that it had promised to keep.
    Corrupt = 65,
    /// A file could not be read, written or synced.
    Io = 74,
    /// No leader just now: try again.
    Temporary = 75,
    /// The data directory was written by a newer version.
    Newer = 78,
}

/// How the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: Code,
    /// What to print on standard error, without a trailing newline; empty for nothing.
    pub line: String,
}

impl Exit {
    /// An orderly end.
    pub fn ok() -> Exit {
        Exit { code: Code::Ok, line: String::new() }
    }

    /// An end with this code that says why. The text is folded into one line.
    pub fn new(code: Code, why: impl fmt::Display) -> Exit {
        let line = why.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Exit { code, line }
    }
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> std::process::ExitCode {
        std::process::ExitCode::from(code as u8)
    }
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Exit {
        Exit::new(Code::Usage, error)
    }
}
