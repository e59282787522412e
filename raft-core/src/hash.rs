//! The 64-bit hash that gives payloads and log prefixes their identity. It stands in the log on disk and on the
//! wire, so it is specified here and never changes within a format version: 8 bytes a step, each folded by the 128-bit
//! product with a fixed odd constant. It guards against accident, not against an adversary.

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FOLD: u64 = 0xd6e8_feb8_6659_fd93;

/// Takes one word in: high and low half of the product with an odd constant, folded into one word.
#[inline]
fn absorb(state: u64, word: u64) -> u64 {
    let wide = u128::from(state.rotate_left(23) ^ word) * u128::from(FOLD);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// The hash of some bytes: little-endian words, the last one filled with zeros, the length taken in last.
#[inline]
pub fn bytes(data: &[u8]) -> u64 {
    let mut state = SEED;
    let mut words = data.chunks_exact(8);
    for word in &mut words {
        let mut le = [0; 8];
        le.copy_from_slice(word);
        state = absorb(state, u64::from_le_bytes(le));
    }
    let mut le = [0; 8];
    for (to, from) in le.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    absorb(absorb(state, u64::from_le_bytes(le)), data.len() as u64 ^ SEED)
}

/// The hash of a sequence of numbers that continues `previous`.
#[inline]
pub fn chain(previous: u64, numbers: &[u64]) -> u64 {
    let start = absorb(previous, SEED);
    let state = numbers.iter().fold(start, |state, number| absorb(state, *number));
    absorb(state, numbers.len() as u64 ^ SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are part of the disk format: a change here is a new format version.
    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(bytes(b""), 4_219_844_033_787_631_889);
        assert_eq!(bytes(b"raft"), 4_363_329_623_134_628_187);
        assert_eq!(bytes(b"in search of an understandable consensus algorithm"), 8_833_813_945_402_908_659);
        assert_eq!(chain(1, &[2, 3]), 12_502_347_684_946_303_713);
    }

    #[test]
    fn length_and_place_count() {
        assert_ne!(bytes(b"a"), bytes(b"a\0"));
        assert_ne!(bytes(&[0; 8]), bytes(&[0; 16]));
        assert_ne!(chain(0, &[1, 2]), chain(0, &[2, 1]));
    }
}
