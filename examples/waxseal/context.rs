//! `--context`: what a message is for.

use waxseal::{EncryptionContext, Error};

use crate::failure::{Action, Failure};

/// The options that name the context.
#[derive(clap::Args)]
pub(crate) struct ContextOptions {
    /// What the message is for, as KEY=VALUE; may be given several times
    ///
    /// Encrypting binds the pairs to the message, where anybody can read them
    /// and nobody can change them: never put a secret there. Decrypting with
    /// --context says what you expect, and fails if the message holds another
    /// value or none for that key; pairs that you do not name are not checked.
    ///
    /// KEY ends at the first `=`; VALUE may hold more of them, and be empty.
    #[arg(long = "context", value_name = "KEY=VALUE")]
    pairs: Vec<String>,
}

impl ContextOptions {
    /// The context. Its errors never repeat a value, nor what may be one.
    pub(crate) fn parse(&self, action: Action) -> Result<EncryptionContext, Failure> {
        let mut context = EncryptionContext::new();
        for (index, pair) in self.pairs.iter().enumerate() {
            let number = index + 1;
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::usage(format!(
                    "--context is KEY=VALUE, and number {number} has no '='"
                )));
            };
            if key.is_empty() {
                return Err(Failure::usage(format!(
                    "--context is KEY=VALUE, and number {number} has no key before its '='"
                )));
            }
            // Only a message brings these; they may be expected of one.
            if action == Action::Encrypt && key.starts_with("aws-crypto-") {
                let key = key.to_owned();
                return Err(refused(action, &Error::ReservedContextKey { key }));
            }
            if context.insert(key, value).is_some() {
                return Err(Failure::usage(format!(
                    "--context gives the key '{key}' twice"
                )));
            }
        }
        // Before a key is made, or asked for.
        match context.to_bytes() {
            Ok(_) => Ok(context),
            Err(error) => Err(refused(action, &error)),
        }
    }
}

fn refused(action: Action, error: &Error) -> Failure {
    Failure::library(action, "with this --context", error)
}
