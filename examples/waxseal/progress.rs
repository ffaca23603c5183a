//! A progress bar for long inputs, where somebody is watching.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter inputs are done before a bar could be read, in bytes.
const LONG: u64 = 8 << 20;

/// The bar appears when so much is done, in bytes: until then it may be that
/// there is something else to say.
const APPEARS: u64 = 1 << 20;

/// A bar on standard error, gone when dropped.
pub(crate) struct Progress {
    length: u64,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar up to `length` bytes; `None` for a short input and where standard
    /// error is not a terminal.
    pub(crate) fn new(length: u64) -> Option<Self> {
        (length >= LONG && io::stderr().is_terminal()).then_some(Progress {
            length,
            done: 0,
            bar: None,
        })
    }

    /// So many more bytes are done.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done >= APPEARS {
            let bar = self.bar.get_or_insert_with(|| new_bar(self.length));
            bar.set_position(self.done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let template = "{bar:30} {percent:>3} %  {bytes} of {total_bytes}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
