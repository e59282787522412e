//! Decisions from a fuzzer's bytes. When they are used up, every further decision is the first one.

pub(crate) struct Draw<'a>(pub(crate) &'a [u8]);

impl Draw<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `n`, which is at most 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// True once in `n` times.
    pub(crate) fn rarely(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// Mostly a number close to `value`; sometimes 0, the largest, or any.
    pub(crate) fn near(&mut self, value: u64) -> u64 {
        match self.byte() {
            0 => 0,
            1 => u64::MAX,
            2 => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
            other => value.saturating_add(u64::from(other % 5)).saturating_sub(2),
        }
    }
}
