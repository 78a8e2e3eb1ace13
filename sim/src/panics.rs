//! Panics of the system under test, which are findings and not accidents.

use std::any::Any;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::verdict::Violation;

thread_local! {
    /// On a thread that runs a simulation: where its last panic happened.
    static SITE: RefCell<Option<Option<String>>> = const { RefCell::new(None) };
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
            *site = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
            true
        }
        None => false,
    })
}

/// The panic that was just caught, as a violation. Its shape is the place: two panics at one place are one bug.
pub(crate) fn violation(payload: &(dyn Any + Send)) -> Violation {
    let site = SITE.with_borrow_mut(|site| site.as_mut().and_then(Option::take));
    let site = site.unwrap_or_else(|| "an unknown place".to_owned());
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a value that is no text");
    Violation {
        oracle: "process",
        clause: "panic",
        shape: file_in_its_crate(&site).to_owned(),
        detail: format!("panicked at {site}: {message}"),
    }
}

/// A place without the folders that differ from machine to machine.
fn file_in_its_crate(site: &str) -> &str {
    site.rfind("/src/").map_or(site, |source| {
        let start = site[..source].rfind('/').map_or(0, |slash| slash + 1);
        &site[start..]
    })
}
