//! What has rotted is not believed.

use bytes::Bytes;
use vertebra_model::backend::{Backend, BackendError, Bucket, Limits, set_aside};
use vertebra_model::syncs::SkippedSyncs;
use vertebra_sim::disk::SECTOR_BYTES;
use vertebra_sim::{Node, OpenMode};

use crate::calm::{Task, calmly};
use crate::known::{Content, content};
use crate::writer::write;

const PATH: &str = "database";

async fn open(node: &Node, path: &str) -> Result<Backend, BackendError> {
    Backend::open(node, path, Limits::default(), SkippedSyncs::NONE).await
}

/// What a file that is these bytes is opened at; none if it is damaged.
async fn opened(node: &Node, bytes: &[u8]) -> Option<Content> {
    let file = node.disk().open("damaged", OpenMode::Create).await.unwrap();
    file.truncate(0).await.unwrap();
    file.append(bytes).await.unwrap();
    match open(node, "damaged").await {
        Ok(backend) => Some(content(&backend.read())),
        Err(BackendError::Damaged { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Two commits of a database, the second right behind the first: the bytes and the content of each.
async fn two_commits(node: &Node) -> [(Bytes, Content); 2] {
    let stream = &mut node.stream("content");
    let backend = open(node, PATH).await.unwrap();
    let mut commits = Vec::new();
    for made in 0..30 {
        let mut batch = backend.lock().await;
        let writes = write(stream, &content(&backend.read()), made);
        for (bucket, key, value) in writes {
            match value {
                Some(value) => batch.put(bucket, key, value),
                None => batch.delete(bucket, key),
            }
        }
        batch.unlock().await.unwrap();
        commits.push((backend.snapshot().await.unwrap(), content(&backend.read())));
    }
    let last = commits.pop().unwrap();
    [commits.pop().unwrap(), last]
}

#[test]
fn a_flipped_bit_is_noticed_or_matters_to_nobody() {
    calmly::<FlippedBits>(Vec::new());
}

struct FlippedBits;

impl Task for FlippedBits {
    async fn run(node: &Node) {
        let [_, (bytes, expected)] = two_commits(node).await;
        let stream = &mut node.stream("bits");
        let (mut refused, mut meta_refused) = (0, 0);
        for place in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 1 << stream.below(8);
            match opened(node, &damaged).await {
                Some(found) => assert_eq!(found, expected, "a bit of byte {place} was flipped"),
                None => {
                    refused += 1;
                    meta_refused += usize::from(place < 2 * 1_024);
                }
            }
        }
        assert_eq!(meta_refused, 2 * SECTOR_BYTES, "every bit of the meta pages counts");
        assert!(refused > bytes.len() / 2, "{refused} of {} bytes are in use", bytes.len());
    }
}

#[test]
fn a_sector_that_was_lost_or_written_elsewhere_is_noticed() {
    calmly::<Sectors>(Vec::new());
}

struct Sectors;

impl Task for Sectors {
    async fn run(node: &Node) {
        let [(earlier, before), (bytes, expected)] = two_commits(node).await;
        let mut found_before = 0;
        for start in (0..bytes.len()).step_by(SECTOR_BYTES) {
            let sector = start..start + SECTOR_BYTES;
            // Written, and never on the medium.
            let mut damaged = bytes.to_vec();
            let lost = earlier.get(sector.clone()).unwrap_or(&[0; SECTOR_BYTES]);
            damaged[sector.clone()].copy_from_slice(lost);
            match opened(node, &damaged).await {
                Some(found) if found == before && found != expected => {
                    assert!(start < 2 * 1_024, "only a meta page leads to another commit");
                    found_before += 1;
                }
                Some(found) => assert_eq!(found, expected, "the sector at {start} was never written"),
                None => {}
            }
            // Written somewhere else, over this.
            for other in (0..bytes.len()).step_by(SECTOR_BYTES) {
                let mut damaged = bytes.to_vec();
                damaged[sector.clone()].copy_from_slice(&bytes[other..other + SECTOR_BYTES]);
                if let Some(found) = opened(node, &damaged).await {
                    assert_eq!(found, expected, "the sector at {other} was written at {start}");
                }
            }
        }
        assert_eq!(found_before, 1);
        for length in (0..bytes.len()).step_by(100) {
            if let Some(found) = opened(node, &bytes[..length]).await {
                assert_eq!(found, expected, "{length} bytes are left");
            }
        }
    }
}

#[test]
fn a_damaged_database_is_set_aside() {
    calmly::<SetAside>(Vec::new());
}

struct SetAside;

impl Task for SetAside {
    async fn run(node: &Node) {
        let [_, (bytes, _)] = two_commits(node).await;
        let file = node.disk().open(PATH, OpenMode::Existing).await.unwrap();
        file.write_at(0, &[0; 4]).await.unwrap();
        let refused = open(node, PATH).await.err().map(|error| error.to_string());
        let expected = "backend database: page 0 is damaged: the checksum of the meta page does not match";
        assert_eq!(refused.as_deref(), Some(expected));
        set_aside(node, PATH).await.unwrap();
        let backend = open(node, PATH).await.unwrap();
        assert_eq!(backend.read().iter_from(Bucket::Key, b"").count(), 0, "a new one is made in its place");
        assert_eq!(node.disk().read("database.broken").await.unwrap().len(), bytes.len());
    }
}
