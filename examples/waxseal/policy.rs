//! `--policy`: which suites are written and read.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use waxseal::CommitmentPolicy;

/// The option that names the commitment policy.
#[derive(clap::Args)]
pub(crate) struct PolicyOption {
    /// Which messages are written and read, by whether they commit to their key
    ///
    /// A message that commits to its key decrypts to one plaintext only. Older
    /// messages do not, and some readers know no others.
    #[arg(
        long = "policy",
        value_name = "POLICY",
        default_value_t,
        value_parser = parser()
    )]
    pub(crate) policy: CommitmentPolicy,
}

fn parser() -> impl TypedValueParser<Value = CommitmentPolicy> {
    PossibleValuesParser::new([
        PossibleValue::new("require-encrypt-require-decrypt")
            .help("write and read only messages with key commitment"),
        PossibleValue::new("require-encrypt-allow-decrypt")
            .help("write only messages with key commitment, and read all"),
        PossibleValue::new("forbid-encrypt-allow-decrypt")
            .help("write only messages without key commitment, and read all"),
    ])
    .try_map(|name| name.parse())
}
