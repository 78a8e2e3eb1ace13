//! Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::exit::Refusal;

/// A flag that the first Ctrl-C sets; the second one ends the process, as it would without us.
pub fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Refusal> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag must not be set yet when the first signal asks whether to end.
        let registered = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)));
        registered.map_err(|error| format!("signal {signal} cannot be handled: {error}"))?;
    }
    Ok(stop)
}
