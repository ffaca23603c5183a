//! `--backend`: what does the cryptography.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use waxseal::CryptoBackend;

/// The option that names the back end.
#[derive(clap::Args)]
pub(crate) struct BackendOption {
    /// What encrypts and decrypts messages, and data keys under raw-aes keys
    /// [default: the fastest here]
    ///
    /// All give the same messages. These are compiled in and suit this
    /// machine's processor.
    #[arg(long, value_name = "NAME", value_parser = parser())]
    backend: Option<CryptoBackend>,
}

impl BackendOption {
    pub(crate) fn backend(&self) -> CryptoBackend {
        self.backend.clone().unwrap_or_default()
    }
}

fn parser() -> impl TypedValueParser<Value = CryptoBackend> {
    let available = CryptoBackend::available();
    let values = available
        .iter()
        .map(|backend| PossibleValue::new(backend.name()).help(backend.primitives().to_string()));
    PossibleValuesParser::new(values).try_map(|name| CryptoBackend::by_name(&name))
}
