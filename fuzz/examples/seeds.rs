//! Writes the first inputs of each target into `corpus/`:
//! `cargo run --example seeds`.

use std::fs;
use std::io;
use std::path::Path;

use waxseal_fuzz::primitives::sha256;
use waxseal_fuzz::seeds::{TARGETS, of_target};

fn main() -> io::Result<()> {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&folder)?;
        let seeds = of_target(target).expect("a target");
        println!("{target}: {} seeds", seeds.len());
        for seed in seeds {
            let digest = sha256(&seed);
            let name: String = digest[..10]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            fs::write(folder.join(name), seed)?;
        }
    }
    Ok(())
}
