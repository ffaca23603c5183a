//! The provider against a server of AWS KMS's protocol, and messages exchanged
//! with the AWS Encryption SDK for Python over it: `interop/aws-kms.sh` starts
//! one. Without a server nothing runs, aloud.
//!
//! | variable | what |
//! |---|---|
//! | `WAXSEAL_KMS_ENDPOINT` | the server's address |
//! | `WAXSEAL_KMS_SERVER` | its name among those whose deviations are known |
//! | `WAXSEAL_KMS_PYTHON` | a Python with the Encryption SDK; without it those tests are left out, aloud |
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` | as ever |

mod deviations;
mod keys;
mod peers;
mod python;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use deviations::known;
use world::World;

type Test = fn(&World);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(world) = World::from_environment() else {
        println!("SKIPPED, NOT RUN: WAXSEAL_KMS_ENDPOINT names no server: see interop/README.md");
        println!("0 passed, 0 failed");
        return ExitCode::SUCCESS;
    };
    let mut tests: Vec<(&str, Test)> = keys::TESTS.to_vec();
    if world.python.is_some() {
        tests.extend(peers::TESTS);
    } else {
        println!("LEFT OUT: WAXSEAL_KMS_PYTHON names no Python with the Encryption SDK");
    }
    let world = Arc::new(world);
    let trials = tests.into_iter().map(|(name, test)| {
        let world = world.clone();
        let deviation = known(&world.server, name);
        let shown = match deviation {
            Some(known) => format!("{name} (fails as known: {})", known.does),
            None => name.to_owned(),
        };
        Trial::test(shown, move || {
            let result = catch_unwind(AssertUnwindSafe(|| test(&world)));
            match (result, deviation) {
                (Ok(()), None) => Ok(()),
                (Ok(()), Some(_)) => Err(Failed::from("the server has mended it: strike it out")),
                (Err(panic), Some(known)) if text(&*panic).contains(known.says) => Ok(()),
                (Err(panic), _) => resume_unwind(panic),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().copied().unwrap_or_default(),
    }
}
