//! Unfinished files: none stays behind, also when the run is interrupted.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary file that is removed when it is dropped, and when SIGINT,
/// SIGTERM or SIGHUP ends the program. (Nothing can be done about SIGKILL: the
/// file's name says what it is then.)
pub(crate) struct Unfinished {
    /// The file, to be written and renamed.
    pub(crate) file: NamedTempFile,
    _listed: Listed,
}

impl Unfinished {
    /// The file that `make` makes.
    pub(crate) fn create(make: impl FnOnce() -> io::Result<NamedTempFile>) -> io::Result<Self> {
        #[cfg(unix)]
        signals::watch();
        // Held meanwhile, so that no signal comes between the two.
        let mut unfinished = lock();
        let file = make()?;
        unfinished.push(file.path().to_owned());
        let _listed = Listed(file.path().to_owned());
        Ok(Unfinished { file, _listed })
    }
}

/// Takes a path off the list once the file is renamed or gone. A signal just
/// before that finds no file of that name, which is as good.
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        lock().retain(|path| *path != self.0);
    }
}

fn lock() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
mod signals {
    use std::sync::Once;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    pub(super) fn watch() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // What the caller has it ignore (nohup, a shell's background job)
            // stays ignored.
            let watched = [SIGHUP, SIGINT, SIGTERM]
                .into_iter()
                .filter(|signal| !is_ignored(*signal));
            // Without it a signal leaves the temporary file behind, and no more.
            if let Ok(signals) = Signals::new(watched) {
                std::thread::spawn(move || wait(signals));
            }
        });
    }

    fn wait(mut signals: Signals) {
        for signal in signals.forever() {
            // Not given back: nothing new is made from here on.
            let unfinished = super::lock();
            for path in unfinished.iter() {
                let _ = std::fs::remove_file(path);
            }
            // The program ends by the signal, so that a shell's script ends too.
            let _ = emulate_default_handler(signal);
        }
    }

    /// Where the system tells, as Linux does.
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}
