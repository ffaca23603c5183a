//! What `scripts/instructions.sh` counts the instructions of: messages
//! encrypted or decrypted, one after another, into the same buffer.
//!
//! `instructions BACKEND encrypt|decrypt BYTES TIMES`; without arguments it
//! prints the back ends that run here, and with `processor` what they find in
//! this processor.

use std::error::Error;
use std::hint::black_box;

use waxseal::{Client, CryptoBackend, EncryptionContext};
use waxseal_bench::bare;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => {
            for backend in CryptoBackend::available() {
                println!("{}", backend.name());
            }
            Ok(())
        }
        ["processor"] => {
            println!("{}", processor());
            Ok(())
        }
        [backend, operation, bytes, times] => {
            run(backend, operation, bytes.parse()?, times.parse()?)
        }
        _ => Err("usage: instructions [BACKEND encrypt|decrypt BYTES TIMES]".into()),
    }
}

fn run(backend: &str, operation: &str, bytes: usize, times: u32) -> Result<(), Box<dyn Error>> {
    let backend = CryptoBackend::available()
        .into_iter()
        .find(|available| available.name() == backend)
        .ok_or("no such back end here")?;
    let client = Client::builder(bare::provider())
        .backend(backend)
        .build()?
        .blocking();
    let context = EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]);
    let plaintext = vec![0x5a; bytes];
    let message = client.encrypt(&plaintext, &context)?;
    let mut out = vec![0; message.len()];
    for _ in 0..times {
        match operation {
            "encrypt" => drop(black_box(client.encrypt_into(
                &plaintext,
                &context,
                &mut out,
            )?)),
            "decrypt" => drop(black_box(client.decrypt_into(
                &message, &context, &mut out,
            )?)),
            _ => return Err("no such operation".into()),
        }
    }
    Ok(())
}

/// What decides which code the back ends run.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! found {
            ($($feature:tt),*) => {
                [$(($feature, std::arch::is_x86_feature_detected!($feature))),*]
            };
        }
        let found = found!(
            "aes", "pclmulqdq", "ssse3", "avx", "avx2", "bmi2", "adx", "sha", "vaes", "avx512f"
        );
        let found = found.into_iter().filter(|(_, found)| *found);
        let names: Vec<&str> = found.map(|(name, _)| name).collect();
        format!("x86_64 with {}", names.join(" "))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_owned()
}
