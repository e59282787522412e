//! Numbers for keys, in the order in which the keys first came. What a search must remember of each state is 8 bytes of
//! key and a slot of 4; a standard set keeps more, and in an order of its own.

const FREE: u32 = u32::MAX;

/// Keys and their numbers: 0, 1, 2 and so on. An open table with linear probing, at most three quarters full.
#[derive(Clone, Debug)]
pub(super) struct Numbering {
    keys: Vec<u64>,
    slots: Vec<u32>,
}

impl Numbering {
    pub(super) fn new() -> Numbering {
        Numbering { keys: Vec::new(), slots: vec![FREE; 1 << 10] }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key with this number.
    pub(super) fn key(&self, number: u32) -> u64 {
        self.keys[number as usize]
    }

    /// The number of a key, if it has one.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let number = self.slots[self.slot(key)];
        (number != FREE).then_some(number)
    }

    /// The number of a key, and whether it is a new one.
    pub(super) fn number(&mut self, key: u64) -> (u32, bool) {
        let slot = self.slot(key);
        if self.slots[slot] != FREE {
            return (self.slots[slot], false);
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(FREE);
        assert!(number != FREE, "a search ends before it has numbered 4 billion keys");
        self.keys.push(key);
        self.slots[slot] = number;
        if self.keys.len() * 4 > self.slots.len() * 3 {
            self.grow();
        }
        (number, true)
    }

    /// Where a key is, or would be put.
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let spread = u128::from(key ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        let mut slot = ((spread as u64) ^ ((spread >> 64) as u64)) as usize & mask;
        while self.slots[slot] != FREE && self.key(self.slots[slot]) != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![FREE; self.slots.len() * 2];
        for number in 0..self.keys.len() {
            let slot = self.slot(self.keys[number]);
            self.slots[slot] = number as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_keeps_its_number_while_the_table_grows() {
        let mut numbering = Numbering::new();
        let key = |at: u64| at.wrapping_mul(0x5851_f42d_4c95_7f2d) >> 3;
        for at in 0..10_000 {
            assert_eq!(numbering.number(key(at)), (at as u32, true));
            assert_eq!(numbering.number(key(at / 2)), (at as u32 / 2, false));
        }
        assert_eq!(numbering.find(key(9_999)), Some(9_999));
        assert_eq!(numbering.find(key(10_000)), None);
        assert_eq!((numbering.len(), numbering.key(7)), (10_000, key(7)));
    }
}
