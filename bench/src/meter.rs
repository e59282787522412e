//! What a stretch of work costs: CPU time of this thread, heap allocations, bytes of live heap.

#![allow(unsafe_code, reason = "a global allocator and a thread's CPU clock have no safe interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Counts for the thread that allocates: an atomic would cost as much as the allocation.
struct Counting;

fn count(bytes: i64) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    LIVE_BYTES.set(LIVE_BYTES.get() + bytes);
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches only cells of this thread that need
// neither an allocation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What was used between two moments, or until now since the thread began.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) allocations: u64,
    pub(crate) live_bytes: i64,
}

impl Usage {
    pub(crate) fn now() -> Usage {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place for the answer.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(failed, 0, "every Linux thread has a CPU clock");
        Usage {
            cpu_ns: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
            allocations: ALLOCATIONS.get(),
            live_bytes: LIVE_BYTES.get(),
        }
    }

    pub(crate) fn since(self) -> Usage {
        let now = Usage::now();
        Usage {
            cpu_ns: now.cpu_ns - self.cpu_ns,
            allocations: now.allocations - self.allocations,
            live_bytes: now.live_bytes - self.live_bytes,
        }
    }
}

/// Memory that was freed stays with the process, so that no round pays for page faults that another one doesn't.
pub(crate) fn keep_freed_memory() {
    for option in [libc::M_TRIM_THRESHOLD, libc::M_MMAP_THRESHOLD] {
        // SAFETY: sets a number within the allocator; glibc refuses what is out of range.
        unsafe { libc::mallopt(option, 1 << 30) };
    }
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
