//! KEYSPECs: which keys a run uses, and where they come from.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use waxseal::blocking::wait;
use waxseal::{CryptoBackend, InvalidRawAesKey, KeyProvider, MultiProvider, RawAesProvider};

use crate::aws_kms;
use crate::default_key;
use crate::failure::{Failure, say};
use crate::files::{quoted, read_key};
use crate::store::{self, DEFAULT_ALIAS, MARKER, Place, StoreOptions, Stores};

/// The longest AES key, in bytes.
const LONGEST: usize = 32;

/// The options that name keys.
#[derive(clap::Args)]
pub(crate) struct KeyOptions {
    /// A key, as local:DIR[:ALIAS] or raw-aes:NAMESPACE:NAME:FILE; may be given
    /// several times
    ///
    /// local:DIR[:ALIAS] is a key of the store in the folder DIR, by its alias,
    /// `alias/` and a name (see `waxseal keys --help`). Without ALIAS it is
    /// alias/default, which encrypting makes, and the store too, where there is
    /// none yet. Decrypting opens under any key of the store, whatever ALIAS
    /// says, and makes nothing. DIR may hold colons; where what follows its
    /// last one begins with `alias/`, give ALIAS too.
    ///
    /// raw-aes:NAMESPACE:NAME:FILE is a key in a file: exactly 16, 24 or 32
    /// bytes, as `waxseal keygen` makes it. NAMESPACE and NAME are yours to
    /// choose and may not hold a colon; they stand in the message, in the
    /// clear, and say which key opens it, so decrypting needs the same ones.
    ///
    /// Encrypting with several keys gives a message that each of them alone
    /// opens. Decrypting takes the first that fits.
    ///
    /// Without --key it is alias/default of the store that --store names.
    /// Decrypting without both also tries the key file of earlier versions,
    /// `waxseal/default.key` in your data folder or what the variable
    /// WAXSEAL_DEFAULT_KEY names, where there is one.
    #[cfg_attr(
        feature = "aws-kms",
        doc = "",
        doc = "aws-kms:KEY is a key of AWS KMS: its ARN, or, to encrypt only, its id or an",
        doc = "alias. Credentials, and the Region where KEY does not say it, are found as",
        doc = "every AWS tool finds them. A multi-Region key opens what its replicas have",
        doc = "encrypted."
    )]
    #[arg(long = "key", value_name = "KEYSPEC", conflicts_with = "store")]
    specs: Vec<String>,

    /// The address of AWS KMS, for tests and private endpoints
    #[cfg(feature = "aws-kms")]
    #[arg(long, value_name = "URL", requires = "specs")]
    endpoint: Option<String>,

    #[command(flatten)]
    store: StoreOptions,
}

impl KeyOptions {
    /// Reads the KEYSPECs, and no file yet.
    pub(crate) fn parse(&self) -> Result<Keys<'_>, Failure> {
        let specs: Vec<KeySpec> = self
            .specs
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        let chosen = if specs.is_empty() {
            Chosen::Default {
                place: self.store.place()?,
                is_named: self.store.store.is_some(),
            }
        } else {
            Chosen::Named(specs)
        };
        Ok(Keys {
            chosen,
            endpoint: self.endpoint(),
            options: &self.store,
            stores: Stores::new(&self.store),
        })
    }
}

impl KeyOptions {
    #[cfg(feature = "aws-kms")]
    fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    #[cfg(not(feature = "aws-kms"))]
    fn endpoint(&self) -> Option<&str> {
        None
    }
}

/// The keys of a run, and the stores that they are in.
pub(crate) struct Keys<'a> {
    chosen: Chosen,
    /// Of AWS KMS.
    endpoint: Option<&'a str>,
    options: &'a StoreOptions,
    stores: Stores<'a>,
}

enum Chosen {
    /// No key was named; the store may have been.
    Default { place: Place, is_named: bool },
    /// In the order of the command line; at least one.
    Named(Vec<KeySpec>),
}

impl Keys<'_> {
    /// Whether the command line names a key or a store.
    pub(crate) fn are_named(&self) -> bool {
        match &self.chosen {
            Chosen::Default { is_named, .. } => *is_named,
            Chosen::Named(_) => true,
        }
    }

    /// The files that hold secrets.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = match &self.chosen {
            Chosen::Default { place, .. } => {
                let own = Some(place.key_file.clone());
                own.into_iter().chain(default_key::find()).collect()
            }
            Chosen::Named(specs) => {
                let files = specs.iter().filter_map(KeySpec::file);
                files.map(Path::to_owned).collect()
            }
        };
        files.extend(self.options.passphrase_file().map(PathBuf::from));
        files
    }

    /// Loads them to encrypt: the first generates, the others wrap too. Makes
    /// the default key, and its store, where they are asked for and not there.
    /// The back end is for keys in files.
    pub(crate) fn load_or_make(
        &self,
        backend: &CryptoBackend,
    ) -> Result<Arc<dyn KeyProvider>, Failure> {
        match &self.chosen {
            Chosen::Default { place, .. } => {
                default_key::warn_if_named();
                self.local_to_encrypt(place, None)
            }
            Chosen::Named(specs) => all(specs.iter().map(|spec| match spec {
                KeySpec::AwsKms { key } => aws_kms::provider(key, self.endpoint),
                KeySpec::Local { place, alias } => self.local_to_encrypt(place, alias.as_deref()),
                KeySpec::RawAes {
                    namespace,
                    name,
                    file,
                } => load_raw_aes(namespace, name, file, backend),
            })),
        }
    }

    /// Loads them to decrypt: the first that fits. The back end is for keys in
    /// files.
    pub(crate) fn load(&self, backend: &CryptoBackend) -> Result<Arc<dyn KeyProvider>, Failure> {
        match &self.chosen {
            Chosen::Default { place, is_named } => {
                let earlier = default_key::find().filter(|_| !is_named);
                let Some(file) = earlier else {
                    return self.local_to_decrypt(place, None);
                };
                let earlier = default_key::load(&file, backend);
                if !self.stores.is_there(place)? {
                    return earlier;
                }
                all([self.local_to_decrypt(place, None), earlier])
            }
            Chosen::Named(specs) => all(specs.iter().map(|spec| match spec {
                KeySpec::AwsKms { key } => aws_kms::provider(key, self.endpoint),
                KeySpec::Local { place, alias } => self.local_to_decrypt(place, alias.as_deref()),
                KeySpec::RawAes {
                    namespace,
                    name,
                    file,
                } => load_raw_aes(namespace, name, file, backend),
            })),
        }
    }

    /// Ends a run that used them and went well.
    pub(crate) fn finish(&self) {
        self.stores.count_uses();
    }

    /// An alias that is named must be there; the default one is made.
    fn local_to_encrypt(
        &self,
        place: &Place,
        alias: Option<&str>,
    ) -> Result<Arc<dyn KeyProvider>, Failure> {
        let kms = match alias {
            None => self.stores.open_or_make(place)?,
            Some(_) => self.stores.open(place)?,
        };
        store::run_due(&kms);
        let found = match alias {
            None => store::make_default_key(&kms),
            Some(alias) => wait(kms.resolve(alias)).map(drop),
        };
        found.map_err(|error| {
            let store = quoted(&place.folder);
            Failure::kms(format_args!("cannot use the store {store}"), &error)
        })?;
        Ok(Arc::new(kms.provider(alias.unwrap_or(DEFAULT_ALIAS))))
    }

    /// Any key of the store decrypts: the alias, or else the folder, is only
    /// what errors call it.
    fn local_to_decrypt(
        &self,
        place: &Place,
        alias: Option<&str>,
    ) -> Result<Arc<dyn KeyProvider>, Failure> {
        let kms = self.stores.open(place)?;
        let name = match alias {
            Some(alias) => alias.to_owned(),
            None => place.folder.display().to_string(),
        };
        Ok(Arc::new(kms.provider(name).opening_any_key()))
    }
}

/// One provider of them all.
fn all(
    providers: impl IntoIterator<Item = Result<Arc<dyn KeyProvider>, Failure>>,
) -> Result<Arc<dyn KeyProvider>, Failure> {
    let mut providers = providers
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter();
    let first = providers
        .next()
        .ok_or_else(|| Failure::usage("no key was given"))?;
    if providers.len() == 0 {
        return Ok(first);
    }
    let all = providers.fold(MultiProvider::new(first), MultiProvider::with);
    Ok(Arc::new(all))
}

/// One `--key`. A kind of key is one variant: its text, its files, its
/// provider.
pub(crate) enum KeySpec {
    AwsKms {
        key: String,
    },
    Local {
        place: Place,
        alias: Option<String>,
    },
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
            "aws-kms" => aws_kms(rest),
            "local" => local(rest),
            "raw-aes" => raw_aes(rest),
            _ => Err(Failure::usage(
                "a KEYSPEC begins with the kind of key, and the kind is not one of: local \
                 (local:DIR[:ALIAS]), raw-aes (raw-aes:NAMESPACE:NAME:FILE), aws-kms (aws-kms:KEY)",
            )),
        }
    }
}

fn aws_kms(key: &str) -> Result<KeySpec, Failure> {
    if key.is_empty() {
        return Err(Failure::usage(
            "an AWS KMS key is aws-kms:KEY, and KEY is missing",
        ));
    }
    Ok(KeySpec::AwsKms {
        key: key.to_owned(),
    })
}

/// `DIR[:ALIAS]`: DIR may hold colons.
fn local(text: &str) -> Result<KeySpec, Failure> {
    let is_alias = |text: &str| text.starts_with("alias/");
    let (folder, alias) = match text.rsplit_once(':') {
        Some((folder, alias)) if is_alias(alias) => (folder, Some(alias)),
        // Hardly a folder of this name: `./alias/…` is one.
        None if is_alias(text) => ("", Some(text)),
        _ => (text, None),
    };
    if folder.is_empty() {
        return Err(Failure::usage(
            "a local key is local:DIR[:ALIAS], and DIR is missing",
        ));
    }
    if alias.is_none() {
        warn_of_forgotten_prefix(folder);
    }
    if alias == Some("alias/") {
        return Err(Failure::usage(
            "a local key is local:DIR[:ALIAS], and ALIAS has no name after 'alias/'",
        ));
    }
    Ok(KeySpec::Local {
        place: Place::at(Path::new(folder))?,
        alias: alias.map(str::to_owned),
    })
}

/// `DIR:NAME` is the folder of this name; but hardly if DIR is a store.
fn warn_of_forgotten_prefix(text: &str) {
    if let Some((folder, name)) = text.rsplit_once(':')
        && !name.is_empty()
        && Path::new(folder).join(MARKER).is_file()
        && !Path::new(text).exists()
    {
        say(&format!(
            "warning: {folder} is a store, and {name} is no alias of it without 'alias/': for \
             that key give local:{folder}:alias/{name}; local:{text} is the folder {text}"
        ));
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
            KeySpec::AwsKms { .. } => None,
            KeySpec::Local { place, .. } => Some(&place.key_file),
            KeySpec::RawAes { file, .. } => Some(file),
        }
    }
}

/// A provider under the key that a file holds.
pub(crate) fn load_raw_aes(
    namespace: &str,
    name: &str,
    file: &Path,
    backend: &CryptoBackend,
) -> Result<Arc<dyn KeyProvider>, Failure> {
    let key = read_key(file, LONGEST).map_err(|error| {
        Failure::io(
            format_args!("cannot read the key file {}", quoted(file)),
            error,
        )
    })?;
    match RawAesProvider::with_backend(namespace, name, &key, backend) {
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
