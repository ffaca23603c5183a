//! A watchdog for tests of what must not hang.

use std::sync::mpsc;
use std::time::Duration;

/// Fails where the test does not end.
pub(crate) fn watched(run: impl FnOnce() + Send + 'static) {
    let (ended, watchdog) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        let _ = ended.send(());
    });
    match watchdog.recv_timeout(Duration::from_secs(900)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a request hangs"),
        // It has ended, in a panic or not.
        _ => thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}
