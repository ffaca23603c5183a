//! Prints what an input of the target `message` stands for, and what the model
//! says of it: `cargo run --example show FILE`.

use waxseal_fuzz::craft::craft;
use waxseal_fuzz::model::{Way, read};
use waxseal_fuzz::recipe::Recipe;
use waxseal_fuzz::tape;

fn main() -> std::io::Result<()> {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("which file?");
        std::process::exit(2);
    };
    let recipe: Recipe = tape::read(&std::fs::read(file)?);
    println!("{recipe:#?}");
    for edit in &recipe.edits {
        println!("edit: {:?}", edit.what());
    }
    let crafted = craft(&recipe);
    println!("{:#?}", crafted.caller);
    let hex = crafted.message.iter().map(|byte| format!("{byte:02x}"));
    println!("message: {}", hex.collect::<String>());
    let known = crafted.known.as_ref();
    let reading = read(&crafted.message, &crafted.caller, Way::Whole, known);
    println!("{:#?}", reading.result);
    Ok(())
}
