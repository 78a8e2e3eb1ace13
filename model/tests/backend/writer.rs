//! A member that does nothing but use its database, and holds what it finds there against what it wrote.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vertebra_model::backend::{Backend, BackendError, Bucket, DefragmentError, Limits};
use vertebra_model::failpoints;
use vertebra_model::syncs::{SkippedSyncs, Sync};
use vertebra_sim::random::{Stream, Streams};
use vertebra_sim::schedule::Shape;
use vertebra_sim::{Node, OpenMode, System, Violation, World};

use crate::known::{COUNT, Content, Known, broken, content, count};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Options {
    pub batch_limit: usize,
    pub without_sync: Vec<String>,
}

pub struct Writer {
    options: Options,
    known: RefCell<Known>,
    tally: RefCell<Tally>,
}

/// That what should be tested was.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    starts: u64,
    defragmented: u64,
}

const PATH: &str = "database";
const COPY: &str = "copy";

/// Buckets with keys that are written again and again.
const BUCKETS: [Bucket; 3] = [Bucket::Meta, Bucket::Lease, Bucket::AuthUsers];

pub fn write(stream: &mut Stream, content: &Content, made: u64) -> Vec<(Bucket, Bytes, Option<Bytes>)> {
    let value = |stream: &mut Stream| {
        let length = if stream.chance(30_000) { stream.below(6_000) } else { stream.magnitude(1, 300) };
        Bytes::from(vec![stream.below(256) as u8; length as usize])
    };
    let mut writes = Vec::new();
    for place in 0..stream.between(1, 6) {
        if stream.chance(650_000) {
            // As a revision: of the transaction, and of the change within it.
            let mut key = made.to_be_bytes().to_vec();
            key.push(b'_');
            key.extend_from_slice(&place.to_be_bytes());
            writes.push((Bucket::Key, Bytes::from(key), Some(value(stream))));
        } else {
            let bucket = BUCKETS[stream.below(3) as usize];
            let key = Bytes::from(format!("{:x}", stream.magnitude(1, 400)));
            writes.push((bucket, key, Some(value(stream))));
        }
    }
    if stream.chance(120_000) && !content.is_empty() {
        // Keys that follow one another, as compaction deletes them.
        let first = stream.below(content.len() as u64) as usize;
        let deleted = stream.magnitude(1, 60) as usize;
        let keys = content.keys().skip(first).take(deleted);
        writes.extend(keys.map(|(bucket, key)| (*bucket, key.clone(), None)));
    }
    writes
}

impl Writer {
    async fn open(&self, node: &Node, path: &str) -> Result<Backend, String> {
        let names = self.options.without_sync.iter();
        let skipped: SkippedSyncs = names.map(|name| Sync::from_name(name).unwrap()).collect();
        let limits = Limits { batch_limit: self.options.batch_limit, ..Limits::default() };
        match Backend::open(node, path, limits, skipped).await {
            Err(error @ BackendError::Damaged { .. }) => {
                node.world().fail(broken("refused", error.to_string()));
                std::future::pending().await
            }
            opened => {
                let backend = opened.map_err(|error| error.to_string())?;
                // Before anything is made of what is in it: an earlier process may have given it its name.
                node.disk().sync_directory("").await.map_err(|error| error.to_string())?;
                Ok(backend)
            }
        }
    }

    async fn transaction(&self, node: &Node, backend: &Backend, stream: &mut Stream) -> Result<(), String> {
        let mut batch = backend.lock().await;
        let mut content = self.known.borrow().newest();
        for (bucket, key, value) in write(stream, &content, self.known.borrow().made) {
            match value {
                Some(value) => {
                    batch.put(bucket, key.clone(), value.clone());
                    assert_eq!(batch.get(bucket, &key), Some(&value), "the writer sees its own writes");
                    content.insert((bucket, key), value);
                }
                None => {
                    batch.delete(bucket, key.clone());
                    assert_eq!(batch.get(bucket, &key), None, "the writer sees its own deletions");
                    content.remove(&(bucket, key));
                }
            }
        }
        if stream.chance(200_000) {
            node.sleep(Duration::from_millis(1)).await;
        }
        self.known.borrow_mut().made(content);
        batch.unlock().await.map_err(|error| error.to_string())?;
        let known = &mut *self.known.borrow_mut();
        known.visible = known.made;
        Ok(())
    }

    async fn defragment(&self, node: &Node, backend: &Backend) -> Result<(), String> {
        let before = backend.size();
        self.known.borrow_mut().file_changes();
        match backend.defragment().await {
            Ok(()) => {
                self.tally.borrow_mut().defragmented += 1;
                self.known.borrow_mut().commit_ended();
                // What one of several commits leaves, the next one uses, but for the last one's.
                assert!(backend.size() <= 2 * backend.size_in_use(), "little is free in a new file");
                assert!(backend.size() <= before.max(2 * backend.size_in_use()), "it does not grow");
            }
            Err(DefragmentError::NotDone(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
        node.disk().sync_directory("").await.map_err(|error| error.to_string())?;
        self.known.borrow_mut().file_named();
        Ok(())
    }

    async fn snapshot(&self, node: &Node, backend: &Backend) -> Result<(), String> {
        let bytes = backend.snapshot().await.map_err(|error| error.to_string())?;
        self.known.borrow_mut().commit_ended();
        let expected = self.known.borrow().committed();
        let hash = backend.hash(|_, _| false);
        let disk = node.disk();
        let write = async {
            let file = disk.open(COPY, OpenMode::Create).await?;
            file.truncate(0).await?;
            file.append(&bytes).await
        };
        write.await.map_err(|error| error.to_string())?;
        let copy = self.open(node, COPY).await?;
        if content(&copy.read()) != expected || copy.hash(|_, _| false) != hash {
            return Err(broken("snapshot", "its content is not what was committed".to_owned()).to_string());
        }
        assert_eq!(copy.size_in_use(), backend.size_in_use(), "no page is lost");
        drop(copy);
        disk.remove(COPY).await.map_err(|error| error.to_string())
    }

    async fn read_on_and_on(self: Rc<Self>, node: Node, backend: Backend) {
        let mut stream = node.stream("reader");
        let mut earlier = None;
        loop {
            node.sleep(stream.duration(Duration::from_millis(1), Duration::from_millis(300))).await;
            let read = backend.read();
            let found = content(&read);
            node.world().check(self.known.borrow().check_read(&found));
            for ((bucket, key), value) in found.iter().take(3) {
                assert_eq!(read.get(*bucket, key), Some(value));
            }
            if let Some((earlier, found)) = earlier.replace((read, found)) {
                assert_eq!(content(&earlier), found, "a reader sees what it saw");
            }
        }
    }
}

impl System for Writer {
    const NAME: &'static str = "backend";
    type Options = Options;

    fn options(streams: &Streams) -> Options {
        let stream = &mut streams.stream("options/batch", 0);
        Options { batch_limit: stream.magnitude(1, 200) as usize, without_sync: Vec::new() }
    }

    fn shape(_: &Options) -> Result<Shape, String> {
        Ok(Shape { failpoints: failpoints::BACKEND, ..Shape::new(1, 0) })
    }

    fn new(_: &World, options: Options) -> Self {
        Self { options, known: RefCell::default(), tally: RefCell::default() }
    }

    async fn member(self: Rc<Self>, node: Node) -> Result<(), String> {
        let stream = &mut node.stream("workload");
        let backend = self.open(&node, PATH).await?;
        let read = backend.read();
        node.world().check(self.known.borrow_mut().check_opened(count(&read), &content(&read)));
        self.tally.borrow_mut().starts += 1;
        let this = Rc::clone(&self);
        backend.set_pre_commit_hook(move |batch| {
            let count = this.known.borrow_mut().commit_begins();
            batch.put(Bucket::Meta, COUNT, Bytes::copy_from_slice(&count.to_be_bytes()));
        });
        node.spawn(Rc::clone(&self).read_on_and_on(node.clone(), backend.clone()));
        let (exiting, committer) = (node.clone(), backend.clone());
        node.spawn(async move {
            if let Err(error) = committer.commit_on_interval().await {
                exiting.exit(&error.to_string()).await;
            }
        });
        while !node.world().is_healed() {
            node.sleep(stream.duration(Duration::from_micros(100), Duration::from_millis(50))).await;
            match stream.below(100) {
                0..84 => self.transaction(&node, &backend, stream).await?,
                84..90 => {
                    backend.force_commit().await.map_err(|error| error.to_string())?;
                    self.known.borrow_mut().commit_ended();
                }
                90..95 => self.defragment(&node, &backend).await?,
                _ => self.snapshot(&node, &backend).await?,
            }
        }
        Ok(())
    }

    async fn client(self: Rc<Self>, _: Node) {}

    async fn settle(self: Rc<Self>, world: World) {
        world.sleep(Duration::from_secs(3)).await;
    }

    fn unsettled(&self) -> Violation {
        broken("settles", String::new())
    }

    fn finish(&self, _: &World) -> Result<(), Violation> {
        Ok(())
    }

    /// Starts, and in thousands what was defragmented.
    fn operations(&self) -> u64 {
        let Tally { starts, defragmented } = *self.tally.borrow();
        starts + 1_000 * defragmented
    }
}
