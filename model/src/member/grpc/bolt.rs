//! A database as a file of bbolt, since that is what callers take a snapshot for: `etcdutl snapshot status` looks into it, and
//! `etcdutl snapshot restore` makes a member of a real cluster from it.
//!
//! The file is written in one go: two meta pages, an empty list of free pages, then the tree of each bucket, leaves first, and last
//! the tree of the buckets. What only our own members understand stays out of it.

use bytes::Bytes;

use crate::backend::{Bucket, ReadTx};

const PAGE_BYTES: usize = 4_096;

/// Number, kind, count and further pages of a page.
const HEAD_BYTES: usize = 16;

/// What a leaf, or a branch, has of each entry at its beginning.
const ELEMENT_BYTES: usize = 16;

/// Kinds of pages.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREE_LIST: u16 = 0x10;

/// The mark of an entry that is a bucket.
const IS_BUCKET: u32 = 1;

const MAGIC: u32 = 0xed0c_daed;
const VERSION: u32 = 2;

/// Where the free list is, behind the meta pages.
const FREE_LIST_PAGE: u64 = 2;

/// What etcd's bucket of this name has, too. Its members are not of this cluster's kind; restoring writes new ones anyway.
fn is_shared(bucket: Bucket, key: &[u8]) -> bool {
    const META_KEYS: [&[u8]; 4] =
        [b"consistent_index", b"term", b"scheduledCompactRev", b"finishedCompactRev"];
    match bucket {
        Bucket::Meta => META_KEYS.contains(&key),
        Bucket::Cluster | Bucket::Members | Bucket::MembersRemoved => false,
        _ => true,
    }
}

/// The file.
pub(super) fn file(tx: &ReadTx) -> Bytes {
    let mut file = File { bytes: vec![0; 3 * PAGE_BYTES] };
    file.head(FREE_LIST_PAGE, FREE_LIST, 0, 0);
    let buckets = Bucket::ALL.map(|bucket| {
        let shared = tx.iter_from(bucket, b"").filter(|(key, _)| is_shared(bucket, key));
        let root = file.tree(shared.map(|(key, value)| Entry { mark: 0, key, value }));
        (bucket.name(), bucket_value(root))
    });
    let buckets = buckets.iter();
    let entries = buckets.map(|(name, value)| Entry { mark: IS_BUCKET, key: name.as_bytes(), value });
    let root = file.tree(entries);
    for number in [0, 1] {
        file.meta(number, root);
    }
    file.bytes.into()
}

/// The first page of a bucket, and its sequence, which etcd does not use.
fn bucket_value(root: u64) -> [u8; 16] {
    (u128::from(root)).to_le_bytes()
}

/// What stands in a leaf.
struct Entry<'a> {
    mark: u32,
    key: &'a [u8],
    value: &'a [u8],
}

struct File {
    bytes: Vec<u8>,
}

impl File {
    /// Writes a sorted sequence of entries as a tree, and returns its first page.
    fn tree<'a>(&mut self, entries: impl Iterator<Item = Entry<'a>>) -> u64 {
        let (mut children, mut leaf, mut bytes) = (Vec::new(), Vec::new(), HEAD_BYTES);
        for entry in entries {
            let entry_bytes = ELEMENT_BYTES + entry.key.len() + entry.value.len();
            if !leaf.is_empty() && bytes + entry_bytes > PAGE_BYTES {
                children.push(self.leaf(&std::mem::take(&mut leaf)));
                bytes = HEAD_BYTES;
            }
            bytes += entry_bytes;
            leaf.push(entry);
        }
        if !leaf.is_empty() || children.is_empty() {
            children.push(self.leaf(&leaf));
        }
        while children.len() > 1 {
            children = self.branches(children);
        }
        children[0].1
    }

    /// One level more of a tree.
    fn branches<'a>(&mut self, children: Vec<(&'a [u8], u64)>) -> Vec<(&'a [u8], u64)> {
        let (mut parents, mut branch, mut bytes) = (Vec::new(), Vec::new(), HEAD_BYTES);
        for child in children {
            let child_bytes = ELEMENT_BYTES + child.0.len();
            // However long keys are, there are two in each, so that this comes to an end.
            if branch.len() > 1 && bytes + child_bytes > PAGE_BYTES {
                parents.push(self.branch(&std::mem::take(&mut branch)));
                bytes = HEAD_BYTES;
            }
            bytes += child_bytes;
            branch.push(child);
        }
        parents.push(self.branch(&branch));
        parents
    }

    /// A page of keys and values: its first key, and its number.
    fn leaf<'a>(&mut self, entries: &[Entry<'a>]) -> (&'a [u8], u64) {
        let mut elements = Vec::new();
        let (mut at, mut data) = (entries.len() * ELEMENT_BYTES, Vec::new());
        for (number, Entry { mark, key, value }) in entries.iter().enumerate() {
            // Counted from the element itself.
            let place = at - number * ELEMENT_BYTES;
            for part in [*mark, number32(place), number32(key.len()), number32(value.len())] {
                elements.extend_from_slice(&part.to_le_bytes());
            }
            at += key.len() + value.len();
            data.extend_from_slice(key);
            data.extend_from_slice(value);
        }
        let page = self.page(LEAF, entries.len(), &elements, &data);
        (entries.first().map_or(&[], |entry| entry.key), page)
    }

    /// A page of the first keys of other pages, and of their numbers.
    fn branch<'a>(&mut self, children: &[(&'a [u8], u64)]) -> (&'a [u8], u64) {
        let mut elements = Vec::new();
        let (mut at, mut data) = (children.len() * ELEMENT_BYTES, Vec::new());
        for (number, (key, page)) in children.iter().enumerate() {
            let place = at - number * ELEMENT_BYTES;
            for part in [number32(place), number32(key.len())] {
                elements.extend_from_slice(&part.to_le_bytes());
            }
            elements.extend_from_slice(&page.to_le_bytes());
            at += key.len();
            data.extend_from_slice(key);
        }
        (children[0].0, self.page(BRANCH, children.len(), &elements, &data))
    }

    /// A page at the end of the file, with as many behind it as it needs.
    fn page(&mut self, kind: u16, count: usize, elements: &[u8], data: &[u8]) -> u64 {
        let begin = self.bytes.len();
        let number = begin / PAGE_BYTES;
        let pages = (HEAD_BYTES + elements.len() + data.len()).div_ceil(PAGE_BYTES);
        self.bytes.resize(begin + HEAD_BYTES, 0);
        self.head(number as u64, kind, count, pages - 1);
        self.bytes.extend_from_slice(elements);
        self.bytes.extend_from_slice(data);
        self.bytes.resize(begin + pages * PAGE_BYTES, 0);
        number as u64
    }

    fn head(&mut self, number: u64, kind: u16, count: usize, further: usize) {
        let count = u16::try_from(count).expect("a page of 4 KiB has room for some hundred elements");
        let begin = number as usize * PAGE_BYTES;
        let fields = [&number.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes()].concat();
        let head = [&fields[..], &number32(further).to_le_bytes()].concat();
        self.bytes[begin..begin + HEAD_BYTES].copy_from_slice(&head);
    }

    /// Says where everything is. The page whose transaction came last counts.
    fn meta(&mut self, number: u64, root: u64) {
        let pages = (self.bytes.len() / PAGE_BYTES) as u64;
        let mut meta = Vec::new();
        for part in [MAGIC, VERSION, PAGE_BYTES as u32, 0] {
            meta.extend_from_slice(&part.to_le_bytes());
        }
        for part in [root, 0, FREE_LIST_PAGE, pages, number] {
            meta.extend_from_slice(&part.to_le_bytes());
        }
        let checksum = fnv1a(&meta);
        meta.extend_from_slice(&checksum.to_le_bytes());
        self.head(number, META, 0, 0);
        let begin = number as usize * PAGE_BYTES + HEAD_BYTES;
        self.bytes[begin..begin + meta.len()].copy_from_slice(&meta);
    }
}

fn number32(number: usize) -> u32 {
    u32::try_from(number).expect("a request, and so a value, is far smaller")
}

/// The checksum of a meta page.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
