//! The clusters of a run, one after the other: each that is restored from a snapshot begins anew.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use vertebra_sim::Violation;

use crate::observer::Observer;
use crate::oracle::locks::Overlaps;

/// Who observes which cluster, and how far the present one has come.
pub(crate) struct Observers {
    present: RefCell<Rc<Observer>>,
    /// Those of clusters that are no more, the first one first.
    before: RefCell<Vec<Rc<Observer>>>,
    /// Clients that the present cluster has answered since all faults were healed.
    answered: Cell<u16>,
}

impl Observers {
    pub(crate) fn new(first: Observer) -> Self {
        Self { present: RefCell::new(Rc::new(first)), before: RefCell::default(), answered: Cell::new(0) }
    }

    /// That of the present cluster.
    pub(crate) fn present(&self) -> Rc<Observer> {
        Rc::clone(&self.present.borrow())
    }

    /// How often the cluster has been restored.
    pub(crate) fn restored(&self) -> u32 {
        self.before.borrow().len() as u32
    }

    /// Another cluster takes the place of the present one, none of whose members or clients runs any more.
    pub(crate) fn succeed(&self, next: Observer) {
        let last = self.present.replace(Rc::new(next));
        last.retire();
        self.before.borrow_mut().push(last);
        self.answered.set(0);
    }

    /// All of them, the first one first.
    pub(crate) fn each(&self, mut each: impl FnMut(&Observer)) {
        self.before.borrow().iter().for_each(|observer| each(observer));
        each(&self.present.borrow());
    }

    /// A client of the present cluster was answered after all faults were healed.
    pub(crate) fn client_answered(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    /// How many clients were.
    pub(crate) fn answered(&self) -> u16 {
        self.answered.get()
    }

    /// Operations of clients so far.
    pub(crate) fn operations(&self) -> u64 {
        let before = self.before.borrow();
        before.iter().map(|observer| observer.operations()).sum::<u64>() + self.present.borrow().operations()
    }

    /// What no service can help, by name, and how often it came about.
    pub(crate) fn excuses(&self) -> Vec<(&'static str, u64)> {
        let mut sum = Overlaps::default();
        self.before.borrow().iter().for_each(|observer| sum.add(observer.overlaps()));
        sum.add(self.present.borrow().overlaps());
        let each = [
            ("two held a lock: unanswered", sum.unanswered),
            ("two held a lock: unasked", sum.unasked),
            ("two held a lock: key deleted", sum.deleted),
        ];
        each.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The oracles that need the whole run, on one cluster after the other.
    pub(crate) fn judge(&self) -> Result<(), Violation> {
        self.before.borrow().iter().try_for_each(|observer| observer.judge())?;
        self.present.borrow().judge()
    }
}
