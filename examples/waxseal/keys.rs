//! KEYSPECs: which keys a run uses, and where they come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use waxseal::{InvalidRawAesKey, KeyProvider, MultiProvider, RawAesProvider, SecretBytes};

use crate::default_key;
use crate::failure::Failure;
use crate::files::quoted;

/// The longest AES key, in bytes.
const LONGEST: usize = 32;

/// The options that name keys.
#[derive(clap::Args)]
pub(crate) struct KeyOptions {
    /// A key, as raw-aes:NAMESPACE:NAME:FILE; may be given several times
    ///
    /// FILE holds the key itself: exactly 16, 24 or 32 bytes, as `waxseal
    /// keygen` makes it. NAMESPACE and NAME are yours to choose and may not
    /// hold a colon; they stand in the message, in the clear, and say which key
    /// opens it, so decrypting needs the same ones.
    ///
    /// Encrypting with several keys gives a message that each of them alone
    /// opens. Decrypting takes the first that fits.
    ///
    /// Without --key the default key is used, which the first `waxseal encrypt`
    /// makes: `waxseal/default.key` in your data folder, or the file that the
    /// variable WAXSEAL_DEFAULT_KEY names.
    #[arg(long = "key", value_name = "KEYSPEC")]
    specs: Vec<String>,
}

impl KeyOptions {
    /// Reads the KEYSPECs, and no file yet.
    pub(crate) fn parse(&self) -> Result<Keys, Failure> {
        let specs: Vec<KeySpec> = self
            .specs
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        if specs.is_empty() {
            return Ok(Keys::Default(default_key::place()?));
        }
        Ok(Keys::Named(specs))
    }
}

/// The keys of a run.
pub(crate) enum Keys {
    /// None was named.
    Default(PathBuf),
    /// In the order of the command line; at least one.
    Named(Vec<KeySpec>),
}

impl Keys {
    /// The files that hold keys.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Keys::Default(file) => vec![file],
            Keys::Named(specs) => specs.iter().filter_map(KeySpec::file).collect(),
        }
    }

    /// Loads them to encrypt: the first generates, the others wrap too. Makes
    /// the default key where it is asked for and not there yet.
    pub(crate) fn load_or_make(&self) -> Result<Arc<dyn KeyProvider>, Failure> {
        if let Keys::Default(file) = self {
            default_key::make_once(file)?;
        }
        self.load()
    }

    /// Loads them to decrypt: the first that fits.
    pub(crate) fn load(&self) -> Result<Arc<dyn KeyProvider>, Failure> {
        match self {
            Keys::Default(file) => default_key::load(file),
            Keys::Named(specs) => {
                let mut providers = specs.iter().map(KeySpec::load);
                let first = providers
                    .next()
                    .unwrap_or_else(|| Err(Failure::usage("no key was given")))?;
                if specs.len() == 1 {
                    return Ok(first);
                }
                let mut all = MultiProvider::new(first);
                for provider in providers {
                    all = all.with(provider?);
                }
                Ok(Arc::new(all))
            }
        }
    }
}

/// One `--key`. A kind of key is one variant: its text, its files, its
/// provider.
pub(crate) enum KeySpec {
    RawAes {
        namespace: String,
        name: String,
        file: PathBuf,
    },
}

impl FromStr for KeySpec {
    type Err = Failure;

    // A text that does not fit is not repeated: somebody may have put a key in
    // its place.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "raw-aes" => raw_aes(rest),
            _ => Err(Failure::usage(
                "a KEYSPEC begins with the kind of key, and the kind is not one of: raw-aes \
                 (raw-aes:NAMESPACE:NAME:FILE)",
            )),
        }
    }
}

/// `NAMESPACE:NAME:FILE`: FILE may hold colons.
fn raw_aes(text: &str) -> Result<KeySpec, Failure> {
    let mut parts = text.splitn(3, ':');
    let mut part = |name| match parts.next() {
        Some(part) if !part.is_empty() => Ok(part.to_owned()),
        _ => Err(Failure::usage(format!(
            "a raw AES key is raw-aes:NAMESPACE:NAME:FILE, and {name} is missing"
        ))),
    };
    Ok(KeySpec::RawAes {
        namespace: part("NAMESPACE")?,
        name: part("NAME")?,
        file: part("FILE")?.into(),
    })
}

impl KeySpec {
    fn file(&self) -> Option<&Path> {
        match self {
            KeySpec::RawAes { file, .. } => Some(file),
        }
    }

    fn load(&self) -> Result<Arc<dyn KeyProvider>, Failure> {
        match self {
            KeySpec::RawAes {
                namespace,
                name,
                file,
            } => load_raw_aes(namespace, name, file),
        }
    }
}

/// A provider under the key that a file holds.
pub(crate) fn load_raw_aes(
    namespace: &str,
    name: &str,
    file: &Path,
) -> Result<Arc<dyn KeyProvider>, Failure> {
    let key = read_key(file).map_err(|error| {
        Failure::io(
            format_args!("cannot read the key file {}", quoted(file)),
            error,
        )
    })?;
    match RawAesProvider::new(namespace, name, &key) {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(InvalidRawAesKey::KeyLength(length)) => {
            let found = match length {
                0 => "is empty".to_owned(),
                1 => "holds 1 byte".to_owned(),
                _ if length > LONGEST => "holds more than 32 bytes".to_owned(),
                _ => format!("holds {length} bytes"),
            };
            Err(Failure::message(format!(
                "the key file {} {found}; a key is exactly 16, 24 or 32 bytes, \
                 not as hex or base64 text and without a newline",
                quoted(file)
            )))
        }
        Err(error) => Err(Failure::usage(format!(
            "the key {namespace}:{name} cannot be: {error}"
        ))),
    }
}

/// Reads no more than tells a key from what is too long for one.
fn read_key(path: &Path) -> io::Result<SecretBytes> {
    let mut bytes = vec![0; LONGEST + 1];
    let mut length = 0;
    let mut file = File::open(path)?;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    // Wipes the vector.
    Ok(SecretBytes::from(bytes))
}
