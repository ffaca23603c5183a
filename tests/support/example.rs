//! Where cargo puts an example's program.

use std::path::{Path, PathBuf};

pub(crate) fn example(name: &str) -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = test.parent().and_then(Path::parent).ok_or("no folder")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let binary = profile.join("examples").join(file);
    if binary.is_file() {
        return Ok(binary);
    }
    Err(format!(
        "{} is not there: `cargo test` without --test builds it, and so does \
         `cargo build --example {name}`",
        binary.display()
    ))
}
