//! A reader of messages: its settings, what it expects and which keys it has,
//! for the model and for the library alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use waxseal::blocking::Client;
use waxseal::{
    CommitmentPolicy, EncryptedDataKey, EncryptionContext, Error, GenerateDataKey,
    GeneratedDataKey, KeyProvider, MaterialsError, MultiProvider, ProviderError, ProviderErrorKind,
    ProviderFuture, ProviderIdentity, ProviderOperation, RawAesProvider, SecretBytes,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey,
};

use crate::model::{Edk, Kind};
use crate::primitives::{Suite, open, sha256};

#[derive(Clone, Debug)]
pub struct Caller {
    pub keys: Keys,
    pub requires_commitment: bool,
    pub require_signed: bool,
    pub refuse_signed_streams: bool,
    pub required: BTreeSet<String>,
    pub expected: BTreeMap<String, String>,
    pub max_edks: Option<usize>,
    pub max_header_length: usize,
    pub max_buffered: usize,
}

impl Default for Caller {
    fn default() -> Self {
        Caller {
            keys: Keys::Raw(Vec::new()),
            requires_commitment: false,
            require_signed: false,
            refuse_signed_streams: false,
            required: BTreeSet::new(),
            expected: BTreeMap::new(),
            max_edks: None,
            max_header_length: 4 << 20,
            max_buffered: 64 << 20,
        }
    }
}

impl Caller {
    /// The library's client with these settings. Required keys must not be the
    /// format's own.
    pub fn client(&self) -> Client {
        self.client_of(self.keys.provider())
    }

    pub fn client_of(&self, provider: impl KeyProvider + 'static) -> Client {
        self.build(provider).blocking()
    }

    /// The same client, async.
    pub fn async_client(&self) -> waxseal::Client {
        self.build(self.keys.provider())
    }

    fn build(&self, provider: impl KeyProvider + 'static) -> waxseal::Client {
        let policy = if self.requires_commitment {
            CommitmentPolicy::RequireEncryptRequireDecrypt
        } else {
            CommitmentPolicy::RequireEncryptAllowDecrypt
        };
        Client::builder(provider)
            .commitment_policy(policy)
            .require_signed(self.require_signed)
            .refuse_signed_streams(self.refuse_signed_streams)
            .required_context_keys(self.required.iter().cloned())
            .max_encrypted_data_keys(self.max_edks)
            .max_header_length(self.max_header_length)
            .max_buffered(self.max_buffered)
            .build()
            .expect("settings that are right")
    }

    pub fn context(&self) -> EncryptionContext {
        context(&self.expected)
    }
}

pub fn context(pairs: &BTreeMap<String, String>) -> EncryptionContext {
    pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// What a reader opens data keys with.
#[derive(Clone, Debug)]
pub enum Keys {
    /// A data key made up from a seed, for the encrypted data key of this
    /// index, whatever it holds.
    Static {
        index: usize,
        seed: u8,
        /// Whether the data key is another one for each encryption context.
        is_bound: bool,
        /// Another length than the suite's.
        length: Option<usize>,
    },
    /// Raw AES keys, in the order in which they are tried.
    Raw(Vec<RawKey>),
}

#[derive(Clone, Debug)]
pub struct RawKey {
    pub namespace: String,
    pub name: String,
    pub key: Vec<u8>,
}

impl Keys {
    /// The data key, and the index of the encrypted data key that it is from.
    pub fn open(&self, suite: &Suite, edks: &[Edk], aad: &[u8]) -> Option<(usize, Vec<u8>)> {
        match self {
            Keys::Static {
                index,
                seed,
                is_bound,
                length,
            } => {
                let length = length.unwrap_or(suite.key_length);
                let data_key = static_data_key(*seed, is_bound.then_some(aad), length);
                edks.get(*index).map(|_| (*index, data_key))
            }
            Keys::Raw(keys) => keys.iter().find_map(|key| key.open(edks, aad)),
        }
    }

    fn provider(&self) -> Arc<dyn KeyProvider> {
        match self.clone() {
            Keys::Raw(keys) => Arc::new(
                keys.iter()
                    .fold(MultiProvider::decrypt_only(), |multi, key| {
                        multi.with(key.provider())
                    }),
            ),
            keys => Arc::new(StaticProvider(keys)),
        }
    }
}

impl RawKey {
    pub fn provider(&self) -> RawAesProvider {
        let key = SecretBytes::copy_from(&self.key);
        RawAesProvider::new(&*self.namespace, &*self.name, &key).expect("a raw AES key")
    }

    fn open(&self, edks: &[Edk], aad: &[u8]) -> Option<(usize, Vec<u8>)> {
        let prefix = [self.name.as_bytes(), &[0, 0, 0, 128, 0, 0, 0, 12]].concat();
        edks.iter().enumerate().find_map(|(index, edk)| {
            let iv = edk.key_info.strip_prefix(&prefix[..])?;
            if edk.provider_id != self.namespace || iv.len() != 12 {
                return None;
            }
            Some((index, open(&self.key, iv, aad, &edk.ciphertext)?))
        })
    }
}

/// The data key that a seed stands for.
pub fn static_data_key(seed: u8, aad: Option<&[u8]>, length: usize) -> Vec<u8> {
    let mut key = sha256(&[&[seed], aad.unwrap_or_default()].concat()).to_vec();
    key.resize(length, 0);
    key
}

struct StaticProvider(Keys);

impl KeyProvider for StaticProvider {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("static", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        Box::pin(std::future::ready(Err(ProviderError::new(
            ProviderOperation::Generate,
            ProviderErrorKind::Unsupported,
            "static",
        ))))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let edks: Vec<_> = request.encrypted_data_keys().iter().map(edk).collect();
        let suite = Suite::by_id(request.suite().id()).expect("all are known");
        let opened = self.0.open(suite, &edks, request.context_bytes());
        let unwrapped = match opened {
            Some((index, data_key)) => {
                let data_key = SecretBytes::from(data_key);
                Ok(UnwrappedDataKey::new(
                    data_key,
                    index,
                    self.identity(),
                    "static key",
                ))
            }
            None => Err(UnwrapFailures::new()),
        };
        Box::pin(std::future::ready(unwrapped))
    }
}

/// The library's encrypted data key as the model's.
pub fn edk(edk: &EncryptedDataKey) -> Edk {
    Edk {
        provider_id: edk.provider_id().to_owned(),
        key_info: edk.key_info().to_vec(),
        ciphertext: edk.ciphertext().to_vec(),
    }
}

/// What the library's error says, in the model's words.
///
/// # Panics
/// For errors that no message can lead to.
pub fn kind(error: &Error) -> Kind {
    match error {
        Error::Malformed(error) => Kind::Format(error.clone()),
        Error::Truncated => Kind::Truncated,
        Error::TrailingBytes => Kind::Trailing,
        Error::TooManyEncryptedDataKeys { found, .. } => Kind::TooManyEdks(*found),
        Error::HeaderTooLong { .. } => Kind::HeaderTooLong,
        Error::SuiteForbidden { .. } => Kind::Forbidden,
        Error::UnsignedRefused { .. } => Kind::UnsignedRefused,
        Error::SignedStreamRefused { .. } => Kind::SignedStreamRefused,
        Error::SignedRangeRefused { .. } => Kind::SignedRangeRefused,
        Error::RequiredContextKeyInMessage { key } => Kind::RequiredInMessage(key.clone()),
        Error::RequiredContextKeyMissing { key } => Kind::RequiredMissing(key.clone()),
        Error::ContextMismatch { key } => Kind::Mismatch(key.clone()),
        Error::ContextKeyNotInMessage { key } => Kind::NotInMessage(key.clone()),
        Error::ContextTooLong { length } => Kind::ContextTooLong(*length),
        Error::Unwrap(_) => Kind::Unwrap,
        Error::InvalidMaterials(MaterialsError::DataKeyLength { found, .. }) => {
            Kind::DataKeyLength(*found)
        }
        Error::Commitment => Kind::Commitment,
        Error::HeaderAuthentication => Kind::HeaderTag,
        Error::FrameSequence { expected, found } => Kind::Sequence {
            expected: *expected,
            found: *found,
        },
        Error::BufferLimit { needed, .. } => Kind::Buffer(*needed),
        Error::FrameAuthentication { sequence_number } => Kind::FrameTag(*sequence_number),
        Error::Signature => Kind::Signature,
        other => panic!("an error that no message can lead to: {other:?}"),
    }
}
