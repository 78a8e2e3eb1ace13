//! From the events of a history to its operations: who asked for what, and what came of it.

use std::collections::BTreeMap;

use vertebra_sim::linearizability::Operation;

/// Where a history cannot be understood, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Counted from 1.
    pub line: usize,
    pub reason: String,
}

/// What an event says of the operation that its process has under way.
pub enum End<R> {
    /// It was answered.
    Answered(R),
    /// It did not happen.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// Where an operation stands in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub process: i64,
    pub invoked: usize,
    /// Where its outcome is told, if it is.
    pub returned: Option<usize>,
}

/// The operations of a history. Their times are the lines of their events, or rather their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded<Q, R> {
    pub operations: Vec<Operation<Q, R>>,
    pub places: Vec<Place>,
    /// By process: the operation that it has under way.
    open: BTreeMap<i64, usize>,
    /// By process: the line that says that nobody knows what came of its last operation. It may go on for ever, so that the
    /// process cannot.
    retired: BTreeMap<i64, usize>,
    /// Those that did not happen. They go when all is read.
    not_done: Vec<usize>,
    clock: u64,
}

impl<Q, R> Recorded<Q, R> {
    pub fn new() -> Self {
        let (operations, places, not_done) = (Vec::new(), Vec::new(), Vec::new());
        let (open, retired) = (BTreeMap::new(), BTreeMap::new());
        Self { operations, places, open, retired, not_done, clock: 0 }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A process asks for something.
    pub fn invoke(&mut self, line: usize, process: i64, request: Q) -> Result<(), Damage> {
        if let Some(open) = self.open.get(&process) {
            let since = self.places[*open].invoked;
            let reason = format!("process {process} has an operation under way, of line {since}");
            return Err(Damage { line, reason });
        }
        if let Some(since) = self.retired.get(&process) {
            let why =
                "what it asked for before may still be under way, and whoever goes on is another process";
            let reason = format!("process {process} has ended with the `:info` of line {since}: {why}");
            return Err(Damage { line, reason });
        }
        self.open.insert(process, self.operations.len());
        let invoked = self.tick();
        self.operations.push(Operation { request, invoked, returned: None });
        self.places.push(Place { process, invoked: line, returned: None });
        Ok(())
    }

    /// A process learns what came of what it asked for: `end` says what, of the request.
    pub fn end(
        &mut self,
        line: usize,
        process: i64,
        end: impl FnOnce(&Q) -> Result<End<R>, String>,
    ) -> Result<(), Damage> {
        let Some(number) = self.open.remove(&process) else {
            return Err(Damage { line, reason: format!("process {process} has no operation under way") });
        };
        match end(&self.operations[number].request).map_err(|reason| Damage { line, reason })? {
            End::Answered(reply) => {
                self.operations[number].returned = Some((self.tick(), reply));
                self.places[number].returned = Some(line);
            }
            End::Unknown => {
                self.places[number].returned = Some(line);
                self.retired.insert(process, line);
            }
            End::NotDone => self.not_done.push(number),
        }
        Ok(())
    }

    /// All is read: what did not happen is forgotten.
    pub fn finish(&mut self) {
        let mut gone = vec![false; self.operations.len()];
        self.not_done.drain(..).for_each(|number| gone[number] = true);
        let (mut operations, mut places) = (gone.iter(), gone.iter());
        self.operations.retain(|_| operations.next() == Some(&false));
        self.places.retain(|_| places.next() == Some(&false));
        self.open.clear();
        self.retired.clear();
    }
}
