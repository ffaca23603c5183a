//! The command line.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, ValueEnum};
use waxseal::SecretBytes;
use waxseal::kms::Principal;

/// AWS KMS's protocol over an embedded KMS.
///
/// Each account that a credential names has a KMS of its own: ReEncrypt from one
/// account's key to another's is refused. The first line on standard output is `listening on http://ADDRESS:PORT`.
#[derive(Parser, Debug)]
#[command(name = "kms_server", version)]
pub(crate) struct Args {
    /// Where to listen; port 0 picks one. Other addresses than loopback only
    /// with TLS
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,

    /// Where the keys are kept: `memory`, or a folder
    ///
    /// Each account has a folder in it, named by its number, and beside that
    /// the file of its root key (`ACCOUNT.key`), readable by you only. WHOEVER
    /// HAS BOTH CAN USE THE KEYS, and whoever loses one of them loses them.
    #[arg(long, value_name = "DIR|memory", default_value = "memory")]
    pub(crate) store: StoreArg,

    /// The Region that the server says it is
    #[arg(long, default_value = "us-east-1", value_parser = region)]
    pub(crate) region: String,

    /// Who may call; without PRINCIPAL, the account's root, and else the user of
    /// that name. Other users of this machine can see command lines: this is
    /// for tests and development
    #[arg(
        long = "credential",
        required = true,
        value_name = "ACCESS_KEY_ID:SECRET:ACCOUNT[:PRINCIPAL]"
    )]
    // Parsed apart: an error of the parser's would repeat the secret.
    given_credentials: Vec<String>,

    #[arg(skip)]
    pub(crate) credentials: Vec<CredentialArg>,

    /// A policy of a user's own, in JSON; may be given several times
    #[arg(long = "identity-policy", value_name = "ACCOUNT:PRINCIPAL=FILE")]
    pub(crate) identity_policies: Vec<IdentityPolicyArg>,

    /// Cryptographic requests a second that each account may make [default: no
    /// limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) quota: Option<u32>,

    /// Write the audit trail to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,

    /// Whose time the keys have. With `virtual`, an unsigned
    /// `POST /clock {"advance_seconds": N}` moves it; a signature's date is
    /// judged by the system's clock all the same
    #[arg(long, value_enum, default_value_t = ClockArg::System)]
    pub(crate) clock: ClockArg,

    /// The certificate chain of the server, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Args {
    /// What the parts of the command line say of each other.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for given in self.given_credentials.drain(..) {
            let parsed = CredentialArg::parse(&given);
            let credential = parsed.map_err(|reason| format!("--credential: {reason}"))?;
            self.credentials.push(credential);
        }
        if !self.listen.ip().is_loopback() && self.tls_cert.is_none() {
            return Err(format!(
                "{} is not a loopback address: give --tls-cert and --tls-key",
                self.listen.ip()
            ));
        }
        let mut ids = HashSet::new();
        for credential in &self.credentials {
            if !ids.insert(&credential.access_key_id) {
                return Err(format!(
                    "the access key id {} is given twice",
                    credential.access_key_id
                ));
            }
        }
        for policy in &self.identity_policies {
            let mut principals = self.credentials.iter().map(|given| &given.principal);
            if !principals.any(|principal| *principal == policy.principal) {
                return Err(format!(
                    "no --credential is {}, whose identity policy is given",
                    policy.principal
                ));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) enum StoreArg {
    Memory,
    Folder(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClockArg {
    System,
    Virtual,
}

/// `ACCESS_KEY_ID:SECRET:ACCOUNT[:PRINCIPAL]`.
pub(crate) struct CredentialArg {
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretBytes,
    pub(crate) principal: Principal,
}

/// `ACCOUNT:PRINCIPAL=FILE`.
#[derive(Clone, Debug)]
pub(crate) struct IdentityPolicyArg {
    pub(crate) principal: Principal,
    pub(crate) file: PathBuf,
}

impl FromStr for StoreArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("it is empty".to_owned()),
            "memory" => Ok(Self::Memory),
            folder => Ok(Self::Folder(folder.into())),
        }
    }
}

impl CredentialArg {
    /// None of the reasons repeats anything: which part is the secret is not
    /// sure of what is wrong.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = text.split(':').collect();
        let (id, secret, principal) = match parts[..] {
            [id, secret, account] => (id, secret, Principal::root(account)),
            [id, secret, account, name] => (id, secret, Principal::user(account, name)),
            _ => return Err("it is ACCESS_KEY_ID:SECRET:ACCOUNT[:PRINCIPAL]"),
        };
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("an access key id is of letters and digits");
        }
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a secret is of printable ASCII characters");
        }
        Ok(CredentialArg {
            access_key_id: id.to_owned(),
            secret: SecretBytes::copy_from(secret.as_bytes()),
            principal: principal
                .map_err(|_| "an account has 12 digits, and a principal is a user's name")?,
        })
    }
}

impl FromStr for IdentityPolicyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names may have a '='.
        let parsed = text.split_once(':').and_then(|(account, rest)| {
            let place = rest.find("=")?;
            let (name, file) = rest.split_at(place);
            Some((account, name, file.strip_prefix('=')?))
        });
        let Some((account, name, file)) = parsed else {
            return Err("it is not ACCOUNT:PRINCIPAL=FILE".to_owned());
        };
        Ok(IdentityPolicyArg {
            principal: Principal::user(account, name).map_err(|error| error.to_string())?,
            file: file.into(),
        })
    }
}

/// `us-east-1`, for example.
fn region(text: &str) -> Result<String, String> {
    let is_region = (1..=32).contains(&text.len())
        && text.contains('-')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    match is_region {
        true => Ok(text.to_owned()),
        false => Err("a Region is a name such as us-east-1".to_owned()),
    }
}

/// A secret never stands in an error or a log.
impl fmt::Debug for CredentialArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialArg")
            .field("access_key_id", &self.access_key_id)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}
