//! The bytes of the file.
//!
//! ```text
//!  page 0, 1    meta pages: magic, size of a page, transaction, pages in all, root of each bucket, checksum
//!  page 2..     nodes, each in one page or in several that follow one another
//!
//!  leaf         kind: u8 | count: u32 | (key length: u32 | value length: u32 | key | value) ...
//!  branch       kind: u8 | count: u32 | (key length: u32 | place | key) ...
//!  place        page: u32 | pages: u32 | checksum: u32                                        (little-endian)
//! ```
//!
//! The checksum of a node, CRC-32C over its pages, stands beside its number in the node above it, and those of the roots
//! in the meta page, whose own is at its end. So a page that was written elsewhere or never is found as well as one
//! that has rotted: what is there instead may be a node, but not the one that was meant.

use bytes::{Buf, BufMut, Bytes};

use super::Bucket;
use super::tree::{Entries, Node};

/// The size of a page: two sectors, so that a power failure can tear it.
pub(super) const PAGE_BYTES: usize = 1024;

/// A meta page uses one sector, which is written whole or not at all.
pub(super) const META_BYTES: usize = vertebra_sim::disk::SECTOR_BYTES;

/// The pages before the first node.
pub(super) const META_PAGES: u32 = 2;

pub(super) const HEADER_BYTES: usize = 5;
pub(super) const LEAF_ENTRY_BYTES: usize = 8;
pub(super) const BRANCH_ENTRY_BYTES: usize = 16;

const LEAF: u8 = 1;
const BRANCH: u8 = 2;
const MAGIC: &[u8; 8] = b"vertebra";

/// Where a node is, and what it must be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Place {
    /// Number of its first page; 0, a meta page, stands for no node at all.
    pub(super) page: u32,
    pub(super) pages: u32,
    pub(super) checksum: u32,
}

impl Place {
    fn put(self, bytes: &mut impl BufMut) {
        for field in [self.page, self.pages, self.checksum] {
            bytes.put_u32_le(field);
        }
    }

    fn take(bytes: &mut Bytes) -> Option<Self> {
        let mut field = || bytes.try_get_u32_le().ok();
        Some(Self { page: field()?, pages: field()?, checksum: field()? })
    }
}

/// What a meta page says.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Meta {
    /// Commits before it, and itself. It is in page 0 when this is even, in page 1 when it is odd.
    pub(super) transaction: u64,
    /// Pages of the file, the free ones included.
    pub(super) pages: u32,
    pub(super) roots: [Option<Place>; Bucket::COUNT],
}

impl Meta {
    /// The page that it belongs in.
    pub(super) fn page(&self) -> u32 {
        (self.transaction % u64::from(META_PAGES)) as u32
    }

    pub(super) fn encode(&self) -> [u8; META_BYTES] {
        let mut sector = [0; META_BYTES];
        let mut bytes = &mut sector[..];
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(PAGE_BYTES as u32);
        bytes.put_u64_le(self.transaction);
        bytes.put_u32_le(self.pages);
        for root in self.roots {
            root.unwrap_or_default().put(&mut bytes);
        }
        let value = crc32c::crc32c(&sector[..META_BYTES - 4]);
        sector[META_BYTES - 4..].copy_from_slice(&value.to_le_bytes());
        sector
    }

    /// What the meta page `page` says, or what is wrong with it.
    pub(super) fn decode(page: u32, bytes: &Bytes) -> Result<Self, &'static str> {
        let mut bytes = bytes.slice(..META_BYTES);
        let mut checksum = bytes.split_off(META_BYTES - 4);
        if crc32c::crc32c(&bytes) != checksum.get_u32_le() {
            return Err("the checksum of the meta page does not match");
        }
        if bytes.split_to(MAGIC.len()) != MAGIC[..] || bytes.get_u32_le() != PAGE_BYTES as u32 {
            return Err("it is no meta page");
        }
        let (transaction, pages) = (bytes.get_u64_le(), bytes.get_u32_le());
        let mut roots = [None; Bucket::COUNT];
        for root in &mut roots {
            *root = Place::take(&mut bytes).filter(|place| place.page != 0);
        }
        let meta = Self { transaction, pages, roots };
        if meta.page() == page { Ok(meta) } else { Err("it is the other meta page") }
    }
}

/// What a node's pages say: the entries, and for a branch the places of the nodes below it.
pub(super) enum Decoded {
    Leaf(Vec<(Bytes, Bytes)>),
    Branch(Vec<(Bytes, Place)>),
}

/// Appends the pages of a node, whose children have their places, to `bytes`; returns its place with `page` left out.
pub(super) fn encode(node: &Node, bytes: &mut Vec<u8>) -> Place {
    let start = bytes.len();
    let length =
        |length| u32::try_from(length).expect("keys and values are shorter than 4 GiB").to_le_bytes();
    match &node.entries {
        Entries::Leaf(entries) => {
            bytes.push(LEAF);
            bytes.extend_from_slice(&length(entries.len()));
            for (key, value) in entries {
                bytes.extend_from_slice([length(key.len()), length(value.len())].as_flattened());
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
            }
        }
        Entries::Branch(children) => {
            bytes.push(BRANCH);
            bytes.extend_from_slice(&length(children.len()));
            for (key, child) in children {
                bytes.extend_from_slice(&length(key.len()));
                child.place.expect("children get their places first").put(bytes);
                bytes.extend_from_slice(key);
            }
        }
    }
    let pages = (bytes.len() - start).div_ceil(PAGE_BYTES);
    bytes.resize(start + pages * PAGE_BYTES, 0);
    Place { page: 0, pages: pages as u32, checksum: crc32c::crc32c(&bytes[start..]) }
}

/// Whether these are the pages that belong at `place`.
pub(super) fn matches(place: Place, bytes: &Bytes) -> bool {
    crc32c::crc32c(bytes) == place.checksum
}

/// What the pages of a node say, if it is what a node can say.
pub(super) fn decode(mut bytes: Bytes) -> Option<Decoded> {
    let kind = bytes.try_get_u8().ok()?;
    let count = bytes.try_get_u32_le().ok()?;
    let part = |bytes: &mut Bytes, length| (length <= bytes.len()).then(|| bytes.split_to(length));
    match kind {
        LEAF => {
            let mut entries = Vec::new();
            for _ in 0..count {
                let (key, value) = (bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?);
                entries.push((part(&mut bytes, key as usize)?, part(&mut bytes, value as usize)?));
            }
            Some(Decoded::Leaf(entries))
        }
        BRANCH => {
            let mut children = Vec::new();
            for _ in 0..count {
                let (key, place) = (bytes.try_get_u32_le().ok()?, Place::take(&mut bytes)?);
                children.push((part(&mut bytes, key as usize)?, place));
            }
            Some(Decoded::Branch(children))
        }
        _ => None,
    }
}
