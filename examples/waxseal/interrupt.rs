//! Unfinished files, a folder with nothing in it, and a terminal without echo:
//! none stays behind, also when the run is interrupted.

use std::fs;
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

/// A folder that this run has made, and that goes with it if nothing has come
/// into it.
pub(crate) struct NewFolder {
    listed: Listed,
}

impl NewFolder {
    /// Makes it; `None` if it is there, made by another run meanwhile.
    pub(crate) fn create(folder: PathBuf) -> io::Result<Option<Self>> {
        #[cfg(unix)]
        signals::watch();
        let mut unfinished = lock();
        match fs::create_dir(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        unfinished.push(folder.clone());
        let listed = Listed(folder);
        Ok(Some(NewFolder { listed }))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        // The system refuses where there is something in it.
        let _ = fs::remove_dir(&self.listed.0);
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

/// A terminal that does not show what is typed, from before something is asked
/// on. It does again when this is dropped, and when a signal ends the program.
pub(crate) struct SilentTerminal(());

impl SilentTerminal {
    pub(crate) fn start() -> io::Result<Self> {
        #[cfg(unix)]
        {
            signals::watch();
            terminal::silence()?;
        }
        Ok(SilentTerminal(()))
    }
}

impl Drop for SilentTerminal {
    fn drop(&mut self) {
        #[cfg(unix)]
        terminal::restore();
    }
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::io;
    use std::sync::{Mutex, PoisonError};

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    static KEPT: Mutex<Option<(File, Termios)>> = Mutex::new(None);

    pub(super) fn silence() -> io::Result<()> {
        let terminal = File::open("/dev/tty")?;
        let settings = tcgetattr(&terminal)?;
        let mut silent = settings.clone();
        // Ctrl-C is a character then, which rpassword knows.
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        // Held meanwhile, so that no signal comes between the two.
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetattr(&terminal, OptionalActions::Now, &silent)?;
        *kept = Some((terminal, settings));
        Ok(())
    }

    pub(super) fn restore() {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((terminal, settings)) = kept.take() {
            // Where the terminal is gone, so are its settings.
            let _ = tcsetattr(&terminal, OptionalActions::Now, &settings);
        }
    }
}

#[cfg(unix)]
mod signals {
    use std::fs;
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
            // The last first: a folder after what is in it.
            for path in unfinished.iter().rev() {
                let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
            }
            super::terminal::restore();
            // The program ends by the signal, so that a shell's script ends too.
            let _ = emulate_default_handler(signal);
        }
    }

    /// Where the system tells, as Linux does.
    fn is_ignored(signal: i32) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}
