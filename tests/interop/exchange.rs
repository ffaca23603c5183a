//! One message from one side to the other, in each way that this library has.

use serde_json::{Value, json};
use waxseal::blocking::Client;
use waxseal::{
    AlgorithmSuite, CommitmentPolicy, Decrypted, DecryptionDetails, EncryptionContext,
    MultiProvider, RawAesProvider, SecretBytes, inspect,
};

use crate::peer::{Kind, Peer};

/// A raw AES key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
    pub(crate) length: usize,
    /// All of the key's bytes are this one.
    pub(crate) byte: u8,
}

impl Key {
    pub(crate) const fn new(
        namespace: &'static str,
        name: &'static str,
        length: usize,
        byte: u8,
    ) -> Self {
        Key {
            namespace,
            name,
            length,
            byte,
        }
    }

    fn provider(&self) -> RawAesProvider {
        let key = SecretBytes::from(vec![self.byte; self.length]);
        RawAesProvider::new(self.namespace, self.name, &key).expect("a key")
    }

    fn json(&self) -> Value {
        json!({
            "namespace": self.namespace,
            "name": self.name,
            "hex": format!("{:02x}", self.byte).repeat(self.length),
        })
    }
}

pub(crate) type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A message to be exchanged, and who is to read it.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) suite: AlgorithmSuite,
    /// Whether the writer is left to choose the suite.
    default_suite: bool,
    policy: CommitmentPolicy,
    frame_length: u32,
    /// Bytes of plaintext.
    length: usize,
    context: EncryptionContext,
    /// Keys of the context that the message leaves out.
    required: Vec<&'static str>,
    /// The writer's keys: the first generates, the others wrap.
    keys: Vec<Key>,
    /// Each reader's keys.
    readers: Vec<Vec<Key>>,
    /// The keys of the context that readers give; all if left out.
    readers_give: Option<Vec<&'static str>>,
    /// Whether a Python peer uses its older API.
    older_api: bool,
    /// Whether a Python peer writes an un-framed message.
    unframed: bool,
}

impl Exchange {
    /// Two frames under one key, without a context.
    pub(crate) fn new(suite: AlgorithmSuite, key: Key) -> Self {
        let policy = if suite.commits() {
            CommitmentPolicy::RequireEncryptRequireDecrypt
        } else {
            CommitmentPolicy::ForbidEncryptAllowDecrypt
        };
        Exchange {
            suite,
            default_suite: false,
            policy,
            frame_length: 4096,
            length: 5000,
            context: EncryptionContext::new(),
            required: Vec::new(),
            keys: vec![key],
            readers: vec![vec![key]],
            readers_give: None,
            older_api: false,
            unframed: false,
        }
    }

    pub(crate) fn default_suite(mut self) -> Self {
        self.default_suite = true;
        self
    }

    pub(crate) fn policy(mut self, policy: CommitmentPolicy) -> Self {
        self.policy = policy;
        self
    }

    pub(crate) fn frame_length(mut self, frame_length: u32) -> Self {
        self.frame_length = frame_length;
        self
    }

    pub(crate) fn length(mut self, length: usize) -> Self {
        self.length = length;
        self
    }

    pub(crate) fn context(mut self, pairs: Pairs<'_>) -> Self {
        self.context = pairs.iter().copied().collect();
        self
    }

    pub(crate) fn required(mut self, keys: &[&'static str]) -> Self {
        self.required = keys.to_vec();
        self
    }

    pub(crate) fn keys(mut self, keys: &[Key]) -> Self {
        self.keys = keys.to_vec();
        self
    }

    pub(crate) fn readers(mut self, readers: &[&[Key]]) -> Self {
        self.readers = readers.iter().map(|keys| keys.to_vec()).collect();
        self
    }

    pub(crate) fn readers_give(mut self, keys: &[&'static str]) -> Self {
        self.readers_give = Some(keys.to_vec());
        self
    }

    pub(crate) fn older_api(mut self) -> Self {
        self.older_api = true;
        self
    }

    pub(crate) fn unframed(mut self) -> Self {
        self.unframed = true;
        self
    }

    /// This library encrypts, in one shot and streamed; the peer decrypts.
    pub(crate) fn we_encrypt(&self, peer: &mut Peer) -> Result<(), String> {
        let plaintext = self.plaintext();
        for (way, message) in [
            ("in one shot", self.encrypt()?),
            ("streamed", self.encrypt_streamed()?),
        ] {
            self.check_length(&message, 0)
                .map_err(|error| format!("{way}: {error}"))?;
            for reader in &self.readers {
                let opened = peer
                    .decrypt(self.request_of_reader(reader), &message)
                    .and_then(|opened| {
                        self.check_stored(&opened.context)?;
                        Ok(opened.plaintext)
                    })
                    .map_err(|error| format!("{way}: {error}"))?;
                if opened != plaintext {
                    return Err(format!("{way}: another plaintext"));
                }
            }
        }
        Ok(())
    }

    /// The peer encrypts; this library decrypts, in one shot and streamed.
    pub(crate) fn we_decrypt(&self, peer: &mut Peer) -> Result<(), String> {
        let plaintext = self.plaintext();
        let message = self.encrypt_by(peer)?;
        // JavaScript does not bring its signatures to one length.
        let any_length = peer.kind == Kind::JavaScript && self.suite.is_signed();
        if !(self.unframed || any_length) {
            // Behind whole frames they write an empty final one, not a full one.
            let whole = self.length > 0 && self.length.is_multiple_of(self.frame_length as usize);
            self.check_length(&message, if whole { 32 } else { 0 })?;
        }
        for reader in &self.readers {
            let decrypted = self
                .decrypt(reader, &message)
                .map_err(|error| format!("in one shot: {error}"))?;
            if decrypted.plaintext != plaintext {
                return Err("in one shot: another plaintext".to_owned());
            }
            self.check_details(&message, &decrypted.details, reader)?;
            let (streamed, details) = self
                .decrypt_streamed(reader, &message)
                .map_err(|error| format!("streamed: {error}"))?;
            if streamed != plaintext {
                return Err("streamed: another plaintext".to_owned());
            }
            self.check_details(&message, &details, reader)?;
        }
        Ok(())
    }

    /// This library's message, in one shot.
    pub(crate) fn encrypt(&self) -> Result<Vec<u8>, String> {
        self.client(&self.keys)
            .encrypt(&self.plaintext(), &self.context)
            .map_err(|error| format!("encrypting: {error}"))
    }

    fn encrypt_streamed(&self) -> Result<Vec<u8>, String> {
        let mut message = Vec::new();
        let plaintext = self.plaintext();
        self.client(&self.keys)
            .encryptor(&self.context, None)
            .and_then(|mut encryptor| {
                for piece in pieces(&plaintext) {
                    encryptor.update(piece, &mut message)?;
                }
                encryptor.finish(&mut message)
            })
            .map_err(|error| format!("encrypting, streamed: {error}"))?;
        Ok(message)
    }

    /// The peer's message.
    pub(crate) fn encrypt_by(&self, peer: &mut Peer) -> Result<Vec<u8>, String> {
        peer.encrypt(self.request(&self.keys), &self.plaintext())
    }

    /// What this library with these keys makes of a message, in one shot.
    pub(crate) fn decrypt(&self, keys: &[Key], message: &[u8]) -> waxseal::Result<Decrypted> {
        self.client(keys).decrypt(message, &self.readers_context())
    }

    fn decrypt_streamed(
        &self,
        keys: &[Key],
        message: &[u8],
    ) -> waxseal::Result<(Vec<u8>, DecryptionDetails)> {
        let mut plaintext = Vec::new();
        let mut decryptor = self.client(keys).decryptor(&self.readers_context());
        for piece in pieces(message) {
            decryptor.push(piece, &mut plaintext)?;
        }
        Ok((plaintext, decryptor.finish()?))
    }

    /// This library's client with these keys.
    fn client(&self, keys: &[Key]) -> Client {
        let (first, others) = keys.split_first().expect("a key");
        let builder = if others.is_empty() {
            Client::builder(first.provider())
        } else {
            let multi = MultiProvider::new(first.provider());
            Client::builder(
                others
                    .iter()
                    .fold(multi, |multi, key| multi.with(key.provider())),
            )
        };
        let builder = if self.default_suite {
            builder.signed(self.suite.is_signed())
        } else {
            builder.suite(self.suite)
        };
        builder
            .commitment_policy(self.policy)
            .frame_length(self.frame_length)
            .required_context_keys(self.required.iter().copied())
            .allow_suites_without_key_derivation(!self.suite.derives_key())
            .build()
            .expect("settings")
            .blocking()
    }

    /// The fields of a request to the peer with these keys.
    pub(crate) fn request(&self, keys: &[Key]) -> Value {
        let suite = (!self.default_suite).then(|| format!("{:04x}", self.suite.id()));
        json!({
            "suite": suite,
            "frame_length": if self.unframed { 0 } else { self.frame_length },
            "context": object(&self.context),
            "required": self.required,
            "keys": keys.iter().map(Key::json).collect::<Vec<_>>(),
            "policy": self.policy.to_string(),
            "legacy": self.older_api,
        })
    }

    fn request_of_reader(&self, keys: &[Key]) -> Value {
        let mut request = self.request(keys);
        request["context"] = object(&self.readers_context());
        request
    }

    fn readers_context(&self) -> EncryptionContext {
        let given = |key: &str| match &self.readers_give {
            Some(keys) => keys.contains(&key),
            None => true,
        };
        self.context.iter().filter(|(key, _)| given(key)).collect()
    }

    fn plaintext(&self) -> Vec<u8> {
        // Bytes that do not repeat with the frames.
        let mut state = self.length as u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(self.length).collect()
    }

    /// Each field takes the same bytes on both sides, signatures too, so that
    /// the length that this library foretells is also that of a peer's message.
    fn check_length(&self, message: &[u8], more: u64) -> Result<(), String> {
        let data_key = self.suite.data_key_length();
        let edks = self.keys.iter().map(Key::provider);
        let edks: Vec<_> = edks
            .map(|key| key.encrypted_data_key_length(data_key))
            .collect();
        let foretold = self
            .client(&self.keys)
            .message_length(self.length as u64, &self.context, &edks)
            .map_err(|error| format!("message_length: {error}"))?;
        if message.len() as u64 == foretold + more {
            Ok(())
        } else {
            Err(format!("{} bytes, not {foretold} + {more}", message.len()))
        }
    }

    /// What the peer says that the header holds: all pairs but the required.
    fn check_stored(&self, stored: &Value) -> Result<(), String> {
        let mut stored = stored.as_object().ok_or("no context")?.clone();
        let public_key = stored.remove("aws-crypto-public-key");
        if public_key.is_some() != self.suite.is_signed() {
            return Err("the public key does not go with the suite".to_owned());
        }
        let required = |key: &str| self.required.contains(&key);
        let expected = self
            .context
            .iter()
            .filter(|(key, _)| !required(key))
            .collect();
        if Value::from(stored) == object(&expected) {
            Ok(())
        } else {
            Err("the header holds other pairs".to_owned())
        }
    }

    /// What this library says that it has decrypted, and by which key.
    fn check_details(
        &self,
        message: &[u8],
        details: &DecryptionDetails,
        reader: &[Key],
    ) -> Result<(), String> {
        let mut context = details.context.clone();
        let public_key = context.remove("aws-crypto-public-key");
        let header = inspect(message).map_err(|error| format!("inspect: {error}"))?;
        // Python gives the encrypted data keys any order.
        let edk = header
            .encrypted_data_keys()
            .get(details.encrypted_data_key_index);
        let key = reader.iter().find(|key| key.name == details.key);
        let right = details.suite == self.suite
            && context == self.context
            && public_key.is_some() == self.suite.is_signed()
            && header.message_id() == details.message_id()
            && header.encrypted_data_keys().len() == self.keys.len()
            && edk == Some(&details.encrypted_data_key)
            && edk.zip(key).is_some_and(|(edk, key)| {
                edk.provider_id() == key.namespace
                    && edk.key_info().starts_with(key.name.as_bytes())
            });
        if right {
            Ok(())
        } else {
            Err(format!("opened as {details:?}"))
        }
    }
}

/// A context as a JSON object.
fn object(context: &EncryptionContext) -> Value {
    let pairs = context.iter();
    Value::Object(
        pairs
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect(),
    )
}

/// Pieces that hardly ever end where a frame does.
fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(if bytes.len() < 100_000 { 997 } else { 61_001 })
}
