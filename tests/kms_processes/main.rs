//! The KMS among processes: such as are killed at random, and many at once on
//! one folder.

mod at_once;
mod child;
mod kills;
mod model;
mod staleness;
mod writer;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Some((work, folder, argument)) = child::work() {
        match &*work {
            "write" => writer::work(&folder, &argument),
            "answer" => staleness::answer(&folder, &argument),
            _ => at_once::work(&work, &folder, &argument),
        }
        return ExitCode::SUCCESS;
    }
    let mut trials = at_once::trials();
    trials.extend(staleness::trials());
    trials.extend(kills::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, || {
        test();
        Ok::<(), Failed>(())
    })
}
