//! Where things stand in a segment file: a page for its header, the `ids` region, the `data` region.

use super::record::RECORD;

/// Bytes of a segment's first page. The segment's header stands in it twice.
pub const HEADER_BYTES: u32 = 4096;

/// How large the two regions of a new segment are. Segments of different layouts may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes for the second copies of record headers, and for the second copies of what must outlive the rot of one
    /// place; a multiple of 8.
    pub ids_bytes: u32,
    /// Bytes for record headers and payloads; a multiple of 8.
    pub data_bytes: u32,
}

impl Default for Layout {
    /// A file of 16 MiB, a quarter of it for the ids: balanced for payloads of about 250 bytes.
    fn default() -> Layout {
        Layout { ids_bytes: 4 << 20, data_bytes: (12 << 20) - HEADER_BYTES }
    }
}

impl Layout {
    /// The size of a whole segment file in bytes.
    pub fn segment_bytes(&self) -> u64 {
        self.data_at() + u64::from(self.data_bytes)
    }

    /// Where the `ids` region begins in the file.
    pub(super) fn ids_at(&self) -> u64 {
        u64::from(HEADER_BYTES)
    }

    /// Where the `data` region begins in the file.
    pub(super) fn data_at(&self) -> u64 {
        self.ids_at() + u64::from(self.ids_bytes)
    }

    /// Whether a record still fits behind others.
    pub(super) fn fits(&self, at: Cursor, size: Extent) -> bool {
        let slots = u64::from(self.ids_bytes) / RECORD as u64;
        u64::from(at.slot) + u64::from(size.slots) <= slots
            && u64::from(at.offset) + u64::from(size.bytes) <= u64::from(self.data_bytes)
    }
}

/// Where the next record stands: its slot in `ids`, its offset in `data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Cursor {
    pub(super) slot: u32,
    pub(super) offset: u32,
}

impl Cursor {
    /// The place after a record; `None` beyond what any segment can hold.
    pub(super) fn after(self, size: Extent) -> Option<Cursor> {
        Some(Cursor {
            slot: self.slot.checked_add(size.slots)?,
            offset: self.offset.checked_add(size.bytes)?,
        })
    }
}

/// How much room a record takes in each region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) slots: u32,
    pub(super) bytes: u32,
}

impl Extent {
    /// The room of both together.
    pub(super) fn and(self, other: Extent) -> Extent {
        // More than any segment can hold stays that.
        Extent {
            slots: self.slots.saturating_add(other.slots),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Of a record with a payload of this length, kept in both regions or in `data` alone. `None` if that is more than
    /// any segment can hold.
    pub(super) fn of(length: usize, twice: bool) -> Option<Extent> {
        let inline = if twice { length.div_ceil(RECORD) } else { 0 };
        let bytes = length.checked_next_multiple_of(8)?.checked_add(RECORD)?;
        Some(Extent { slots: u32::try_from(inline).ok()?.checked_add(1)?, bytes: u32::try_from(bytes).ok()? })
    }
}
