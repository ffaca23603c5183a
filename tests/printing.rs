//! Nothing that can be printed prints a secret: no wrapping key, no data key,
//! no derived key, no plaintext, in no spelling.

mod support;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use support::craft::Craft;
use support::map::Map;
use support::providers::Answers;
use support::{Mode, builder, ready, stream};
use waxseal::{
    AlgorithmSuite, Caching, Client, CryptoBackend, DataKeyCache, EncryptedDataKey,
    EncryptionContext, GenerateDataKey, GeneratedDataKey, KeyProvider, MultiProvider,
    ProviderFuture, ProviderIdentity, RawAesProvider, SecretBytes, UnwrapDataKey, UnwrapFailures,
    UnwrappedDataKey, WrapDataKey, inspect,
};

// No words, that might be printed for themselves.
const WRAPPING_KEY: &[u8; 32] = b"qZ7#vK2$xW9!jF4%mB6^hT8&cL3*pD5(";
const DATA_KEY: &[u8; 32] = b"uY1@gN0-kS7+rE9=wQ2;zC4:bV6<oX8>";
const PLAINTEXT: &[u8] = b"j2Qz;x7Kv!w9Gf#t4Rb%y6Nh&c1Lm*p3Ds(u8Eo)k5Ia_";

/// All that was printed, without white space.
#[derive(Default)]
struct Printed(Mutex<BTreeSet<String>>);

impl Printed {
    fn text(&self, text: &str) {
        assert!(!text.is_empty());
        let text = text.replace(char::is_whitespace, "");
        self.0.lock().unwrap().insert(without_public_keys(&text));
    }

    fn debug(&self, value: &dyn Debug) {
        self.text(&format!("{value:?}"));
        self.text(&format!("{value:#?}"));
        self.text(&format!("{value:02x?}"));
    }

    fn error(&self, error: &dyn std::error::Error) {
        self.debug(&error);
        self.text(&error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            self.text(&format!("{cause} {cause:?}"));
            source = cause.source();
        }
    }

    /// Looks for four bytes in a row of each secret.
    fn holds_none_of(&self, secrets: &[&[u8]]) {
        let texts = self.0.lock().unwrap();
        for bytes in secrets.iter().flat_map(|secret| secret.windows(4)) {
            for spelling in spellings(bytes) {
                if let Some(text) = texts.iter().find(|text| text.contains(&spelling)) {
                    panic!("{spelling} in {text}");
                }
            }
        }
    }
}

/// A signed message's public key is random: now and then its base64 text has
/// four characters in common with a secret's.
fn without_public_keys(text: &str) -> String {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let mut parts = text.split("aws-crypto-public-key\":\"");
    let before = parts.next().unwrap_or_default();
    let after = parts.map(|part| part.trim_start_matches(is_base64));
    [before].into_iter().chain(after).collect()
}

/// Without white space.
fn spellings(bytes: &[u8]) -> Vec<String> {
    let joined = |each: &dyn Fn(&u8) -> String, by: &str| {
        bytes.iter().map(each).collect::<Vec<_>>().join(by)
    };
    let mut all = vec![
        joined(&|byte| format!("{byte:02x}"), ""),
        joined(&|byte| format!("{byte:02X}"), ""),
        joined(&|byte| format!("{byte:02x}"), ","),
        joined(&|byte| format!("{byte:x}"), ","),
        joined(&|byte| format!("{byte:02x}"), ":"),
        joined(&|byte| format!("0x{byte:02x}"), ","),
        joined(&|byte| format!("\\x{byte:02x}"), ""),
        joined(&|byte| byte.to_string(), ","),
        // Three bytes of four, so that the last character says no more.
        STANDARD_NO_PAD.encode(&bytes[..3]),
        URL_SAFE_NO_PAD.encode(&bytes[..3]),
    ];
    if bytes.iter().all(u8::is_ascii_graphic) {
        all.push(String::from_utf8_lossy(bytes).into_owned());
        all.push(bytes.escape_ascii().to_string());
    }
    all
}

/// Prints each request, and answers with a data key that the test knows.
struct Prints(Arc<Printed>);

impl Prints {
    fn data_key(&self, suite: AlgorithmSuite) -> SecretBytes {
        let data_key = SecretBytes::copy_from(&DATA_KEY[..suite.data_key_length()]);
        self.0.debug(&data_key);
        data_key
    }
}

impl KeyProvider for Prints {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("prints", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        mut request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        self.0.debug(&request);
        let data_key = self.data_key(request.suite());
        self.0.debug(&request.wrap(&data_key));
        self.0.debug(&request.reborrow());
        let edk = EncryptedDataKey::new("prints", *b"info", *b"wrapped").unwrap();
        let generated = GeneratedDataKey::new(data_key, vec![edk]);
        self.0.debug(&generated);
        Box::pin(std::future::ready(Ok(generated)))
    }

    fn wrap_data_key<'a>(
        &'a self,
        mut request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        self.0.debug(&request);
        self.0.debug(&request.reborrow());
        let edk = EncryptedDataKey::new("prints", *b"", *b"").unwrap();
        Box::pin(std::future::ready(Ok(vec![edk])))
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        self.0.debug(&request);
        let data_key = self.data_key(request.suite());
        let unwrapped = UnwrappedDataKey::new(data_key, 0, self.identity(), "key");
        self.0.debug(&unwrapped);
        Box::pin(std::future::ready(Ok(unwrapped)))
    }
}

#[test]
fn what_is_looked_for_is_found() {
    for text in [
        format!("{DATA_KEY:?}"),
        format!("{DATA_KEY:#?}"),
        format!("{DATA_KEY:02x?}"),
        format!("{:?}", String::from_utf8_lossy(DATA_KEY)),
        STANDARD_NO_PAD.encode(DATA_KEY),
    ] {
        let text = text.replace(char::is_whitespace, "");
        let mut spellings = DATA_KEY.windows(4).flat_map(spellings);
        assert!(spellings.any(|spelling| text.contains(&spelling)), "{text}");
    }
}

#[test]
fn providers_and_keys() {
    let printed = Printed::default();
    let key = SecretBytes::copy_from(WRAPPING_KEY);
    let provider = || RawAesProvider::new("ns", "key", &key).unwrap();
    printed.debug(&key);
    printed.debug(&provider());
    printed.debug(&provider().identity());
    printed.debug(&provider().identity().to_string());
    printed.debug(&provider().identity().as_bytes());
    printed.debug(&MultiProvider::new(provider()).with(provider()));
    printed.debug(&CryptoBackend::default());
    printed.error(&RawAesProvider::new("aws-kms", "key", &key).unwrap_err());
    let long = SecretBytes::from([&WRAPPING_KEY[..], b"!"].concat());
    printed.error(&RawAesProvider::new("ns", "key", &long).unwrap_err());
    let client = Client::new(provider());
    printed.debug(&Client::builder(provider()));
    printed.debug(&client);
    printed.debug(&client.blocking());
    printed.holds_none_of(&[WRAPPING_KEY]);
}

#[test]
fn messages_and_streams() {
    for suite in AlgorithmSuite::ALL {
        let printed = Arc::new(Printed::default());
        let provider = MultiProvider::new(Prints(printed.clone())).with(Prints(printed.clone()));
        let client = builder(suite, provider).frame_length(10).build().unwrap();
        let none = EncryptionContext::new();

        printed.debug(&ready(client.prepare(&none, None)).unwrap());
        let mut message = Vec::new();
        let mut encryptor = ready(client.encryptor(&none, None)).unwrap();
        printed.debug(&encryptor);
        encryptor.update(PLAINTEXT, &mut message).unwrap();
        printed.debug(&encryptor);
        encryptor.finish(&mut message).unwrap();

        let blocking = client.blocking();
        let mut writer = blocking.encrypt_writer(Vec::new(), &none).unwrap();
        writer.write_all(PLAINTEXT).unwrap();
        printed.debug(&writer);
        let mut reader = blocking.encrypt_reader(PLAINTEXT, &none).unwrap();
        reader.read_exact(&mut [0; 20]).unwrap();
        printed.debug(&reader);

        let header = inspect(&message).unwrap();
        printed.debug(&header);
        printed.debug(&header.encrypted_data_keys());
        let decrypted = ready(client.decrypt(&message, &none)).unwrap();
        assert_eq!(decrypted.plaintext, PLAINTEXT);
        printed.debug(&decrypted);
        printed.debug(&decrypted.details);
        let half = &message[..message.len() - 150];
        let mut out = Vec::new();
        let mut decryptor = client.decryptor(&none);
        printed.debug(&decryptor);
        ready(decryptor.push(half, &mut out)).unwrap();
        printed.debug(&decryptor);
        let mut decryptor = blocking.decryptor_unverified(&none);
        decryptor.push(half, &mut out).unwrap();
        printed.debug(&decryptor);
        printed.debug(&decryptor.details());
        printed.debug(&decryptor.header());
        let mut reader = blocking.decrypt_reader_unverified(half, &none).unwrap();
        reader.read_exact(&mut [0; 3]).unwrap();
        printed.debug(&reader);
        let mut writer = blocking.decrypt_writer(Vec::new(), &none);
        writer.write_all(half).unwrap();
        printed.debug(&writer);

        let mut craft = Craft::new(suite);
        let start = if suite.commits() { 3 } else { 4 };
        craft.message_id = message[start..start + craft.message_id.len()].to_vec();
        craft.data_key = DATA_KEY[..suite.data_key_length()].to_vec();
        let (derived, _) = craft.derived();
        printed.holds_none_of(&[WRAPPING_KEY, &craft.data_key, &derived, PLAINTEXT]);
    }
}

#[test]
fn cached_data_keys() {
    let printed = Arc::new(Printed::default());
    let none = EncryptionContext::new();
    printed.debug(&DataKeyCache::builder(10));
    let cache = DataKeyCache::new(10);
    // Each data key is due for a refresh after its first message.
    let caching = Caching::new(&cache, Duration::from_secs(1000))
        .max_messages(10)
        .refresh_after(0.01);
    printed.debug(&caching);
    let refused = caching.clone().max_messages(0);
    let builder = Client::builder(Prints(printed.clone())).caching(caching);
    printed.debug(&builder);
    let client = builder.build().unwrap();
    let message = ready(client.encrypt(PLAINTEXT, &none)).unwrap();
    for _ in 0..2 {
        printed.debug(&ready(client.prepare(&none, Some(5))).unwrap());
        printed.debug(&ready(client.decrypt(&message, &none)).unwrap());
    }
    printed.debug(&client);
    printed.debug(&client.blocking());
    printed.debug(&client.cache_partition());
    printed.debug(&cache);
    printed.debug(&cache.statistics());
    assert_eq!(cache.statistics().entries, 2);
    let builder = Client::builder(Prints(printed.clone())).caching(refused);
    printed.error(&builder.build().unwrap_err());

    let broken = Answers::data_key([DATA_KEY, &b"!"[..]].concat());
    let caching = Caching::new(&cache, Duration::from_secs(1000));
    let client = Client::builder(broken).caching(caching).build().unwrap();
    printed.error(&ready(client.encrypt(PLAINTEXT, &none)).unwrap_err());
    printed.error(&ready(client.decrypt(&message, &none)).unwrap_err());
    printed.holds_none_of(&[WRAPPING_KEY, DATA_KEY, PLAINTEXT]);
}

#[test]
fn errors() {
    for suite in AlgorithmSuite::ALL {
        let printed = Arc::new(Printed::default());
        let client = builder(suite, Prints(printed.clone()))
            .frame_length(10)
            .build()
            .unwrap();
        let none = EncryptionContext::new();
        let message = ready(client.encrypt(PLAINTEXT, &none)).unwrap();
        let map = Map::of(&message);
        for at in 0..message.len() {
            let mut damaged = message.clone();
            damaged[at] ^= 0x10;
            // For a signed suite each try costs milliseconds.
            if map.is_signed() && at % 16 > 0 {
                continue;
            }
            printed.error(&ready(client.decrypt(&damaged, &none)).unwrap_err());
            let (_, outcome) = stream(&client, &none, &damaged, 100, Mode::Unverified);
            printed.error(&outcome.unwrap_err());
        }
        printed.error(&ready(client.decrypt(&message[..100], &none)).unwrap_err());
        let mut small = [0; 20];
        printed.error(&ready(client.decrypt_into(&message, &none, &mut small)).unwrap_err());
        printed.error(&ready(client.encrypt_into(PLAINTEXT, &none, &mut small)).unwrap_err());
        let mut encryptor = ready(client.encryptor(&none, Some(5))).unwrap();
        printed.error(&encryptor.update(PLAINTEXT, &mut Vec::new()).unwrap_err());

        let wrong_length = Answers::data_key([DATA_KEY, &b"!"[..]].concat());
        let broken = builder(suite, wrong_length).build().unwrap();
        printed.error(&ready(broken.encrypt(PLAINTEXT, &none)).unwrap_err());
        printed.error(&ready(broken.decrypt(&message, &none)).unwrap_err());

        let key = SecretBytes::copy_from(WRAPPING_KEY);
        let provider = RawAesProvider::new("prints", "info", &key).unwrap();
        let stranger = builder(suite, provider).build().unwrap();
        printed.error(&ready(stranger.decrypt(&message, &none)).unwrap_err());
        printed.holds_none_of(&[
            WRAPPING_KEY,
            &DATA_KEY[..suite.data_key_length()],
            PLAINTEXT,
        ]);
    }
}
