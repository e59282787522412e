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

/// The hash of some bytes: little-endian words, the last one filled with zeros, the length taken in last. As long as 32
/// bytes are left, four words go to four states side by side, which the processor works on at once; then the states are
/// taken into one.
#[inline]
pub fn bytes(data: &[u8]) -> u64 {
    let mut lanes = [SEED, SEED.rotate_left(16), SEED.rotate_left(32), SEED.rotate_left(48)];
    let mut blocks = data.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = absorb(*lane, le_word(word));
        }
    }
    let [first, rest @ ..] = lanes;
    let mut state = rest.into_iter().fold(first, absorb);
    for word in blocks.remainder().chunks(8) {
        state = absorb(state, le_word(word));
    }
    absorb(state, data.len() as u64 ^ SEED)
}

/// Up to 8 bytes as a little-endian word.
#[inline]
fn le_word(bytes: &[u8]) -> u64 {
    let mut le = [0; 8];
    for (to, from) in le.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(le)
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
        assert_eq!(bytes(b""), 7_770_386_414_868_152_419);
        assert_eq!(bytes(b"raft"), 11_777_722_091_730_360_957);
        assert_eq!(bytes(b"in search of an understandable consensus algorithm"), 13_221_971_733_567_687_480);
        assert_eq!(chain(1, &[2, 3]), 12_502_347_684_946_303_713);
    }

    #[test]
    fn length_and_place_count() {
        assert_ne!(bytes(b"a"), bytes(b"a\0"));
        assert_ne!(bytes(&[0; 8]), bytes(&[0; 16]));
        assert_ne!(chain(0, &[1, 2]), chain(0, &[2, 1]));
    }
}
