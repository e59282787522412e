//! The CPU time of processes, as the kernel counts it.

use crate::exit::{Code, Exit};
use std::time::Duration;

/// User and system time of these processes together, in the kernel's ticks of usually 10 ms.
pub(super) fn cpu_time(processes: &[u32]) -> Result<Duration, Exit> {
    let per_second = rustix::param::clock_ticks_per_second();
    let mut ticks = 0;
    for process in processes {
        let path = format!("/proc/{process}/stat");
        let read = std::fs::read_to_string(&path);
        let line = read.map_err(|error| Exit::new(Code::Usage, format!("--pids: {path}: {error}")))?;
        ticks += cpu_ticks(&line)
            .ok_or_else(|| Exit::new(Code::Failed, format!("{path} has no CPU times: {line:?}")))?;
    }
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// `utime` and `stime` of proc(5): the 14th and the 15th field, counted behind the name, which may hold anything.
fn cpu_ticks(line: &str) -> Option<u64> {
    let mut behind_name = line.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || behind_name.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
}

#[test]
fn times_are_found_behind_any_name() {
    let line = "7 (a) b) c) S 1 7 7 0 -1 4194304 9 0 0 0 123 45 6 7 20 0 2 0 9";
    assert_eq!(cpu_ticks(line), Some(168));
    assert_eq!(cpu_ticks("7 (a) S 1"), None);
}
