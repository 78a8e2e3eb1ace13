//! Panics of the system under test, which are findings and not accidents.

use std::any::Any;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::verdict::Violation;

thread_local! {
    /// On a thread that runs a simulation: where its last panic happened.
    static SITE: RefCell<Option<Option<(String, u32)>>> = const { RefCell::new(None) };
}

/// From now on, panics of this thread are kept instead of being printed: they are part of a verdict.
pub(crate) fn capture() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !keep(info) {
                print(info);
            }
        }));
    });
    SITE.set(Some(None));
}

fn keep(info: &PanicHookInfo<'_>) -> bool {
    SITE.with_borrow_mut(|site| match site {
        Some(site) => {
            *site = info.location().map(|location| (location.file().to_owned(), location.line()));
            true
        }
        None => false,
    })
}

/// The panic that was just caught, as a violation. Its shape is its file and its message: a line number would change
/// with every edit above it.
pub(crate) fn violation(payload: &(dyn Any + Send)) -> Violation {
    let site = SITE.with_borrow_mut(|site| site.as_mut().and_then(Option::take));
    let (file, line) = site.unwrap_or_else(|| ("an unknown place".to_owned(), 0));
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a value that is no text");
    let first_line = message.lines().next().unwrap_or_default();
    let shape = format!("{}: {first_line}", inside_its_crate(&file));
    Violation::new("process", "panic", shape, format!("panicked at {file}:{line}: {message}"))
}

/// A file without the folders that differ from machine to machine.
fn inside_its_crate(file: &str) -> &str {
    file.rfind("/src/").map_or(file, |source| {
        let start = file[..source].rfind('/').map_or(0, |slash| slash + 1);
        &file[start..]
    })
}
