//! What the vector tests share: the folder's layout, and how a case is run.
#![allow(dead_code, unreachable_pub)] // reason: each test file uses a part

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::Value;
use waxseal::{
    AlgorithmSuite, Client, CommitmentPolicy, CryptoBackend, EncryptionContext, GenerateDataKey,
    GeneratedDataKey, KeyProvider, MultiProvider, ProviderError, ProviderErrorKind, ProviderFuture,
    ProviderIdentity, ProviderOperation, RawAesProvider, SecretBytes, UnwrapDataKey,
    UnwrapFailures, UnwrappedDataKey,
};

/// Drives a future that is ready at its first poll.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local provider's future was not ready at its first poll"),
    }
}

/// Test only: opens every message with one data key, whatever its encrypted
/// data keys are.
pub struct StaticDataKey(pub Vec<u8>);

impl KeyProvider for StaticDataKey {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("static data key", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let _ = request;
        let (operation, kind) = (ProviderOperation::Generate, ProviderErrorKind::Unsupported);
        Box::pin(async move { Err(ProviderError::new(operation, kind, "static data key")) })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        _request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let data_key = SecretBytes::copy_from(&self.0);
        let unwrapped = UnwrappedDataKey::new(data_key, 0, self.identity(), "static");
        Box::pin(async move { Ok(unwrapped) })
    }
}

/// A folder of vectors.
pub struct Vectors {
    pub folder: PathBuf,
    pub cases: Vec<Value>,
    keys: Value,
}

impl Vectors {
    /// Reads `manifest.json`, and `keys.json` where there is one.
    pub fn read(folder: &Path) -> Self {
        let json = |name: &str| -> Option<Value> {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        let manifest = json("manifest.json")
            .unwrap_or_else(|| panic!("no manifest.json in {}", folder.display()));
        let cases = manifest["cases"].as_array().expect("cases").clone();
        assert_eq!(
            manifest["count"].as_u64(),
            Some(cases.len() as u64),
            "count"
        );
        Vectors {
            folder: folder.to_owned(),
            cases,
            keys: json("keys.json").unwrap_or(Value::Null)["keys"].take(),
        }
    }

    pub fn bytes(&self, path: &Value) -> Vec<u8> {
        let path = self.folder.join(text(path));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A key type of the case that is not supported here.
    pub fn unsupported(case: &Value) -> Option<String> {
        let supported = |kind: &str| kind.starts_with("raw-aes-") || kind == "static-data-key";
        list(&case["key_types"])
            .iter()
            .map(text)
            .find(|kind| !supported(kind))
            .map(str::to_owned)
    }

    /// The provider of a case.
    pub fn provider(&self, case: &Value) -> Result<Arc<dyn KeyProvider>, String> {
        let mut multi = MultiProvider::decrypt_only();
        for keyring in list(&case["keyrings"]) {
            multi = match text(&keyring["type"]) {
                "raw-aes" => {
                    let key = &self.keys[text(&keyring["key"])];
                    let key = SecretBytes::from(unhex(text(&key["material_hex"])));
                    let (namespace, name) =
                        (text(&keyring["provider_id"]), text(&keyring["key_name"]));
                    let provider = RawAesProvider::new(namespace, name, &key);
                    multi.with(provider.map_err(|error| error.to_string())?)
                }
                "static-data-key" => {
                    multi.with(StaticDataKey(unhex(text(&keyring["data_key_hex"]))))
                }
                other => panic!("unknown keyring {other}"),
            };
        }
        Ok(Arc::new(multi))
    }

    /// The client and the expected context of a case.
    pub fn client(
        &self,
        case: &Value,
        backend: CryptoBackend,
    ) -> Result<(Client, EncryptionContext), String> {
        let policy: CommitmentPolicy = text(&case["commitment_policy"])
            .parse()
            .expect("a commitment policy");
        let required = list(&case["required_encryption_context_keys"]);
        let limit = case["max_encrypted_data_keys"]
            .as_u64()
            .map(|limit| limit as usize);
        let client = Client::builder(self.provider(case)?)
            .backend(backend)
            .commitment_policy(policy)
            .max_encrypted_data_keys(limit)
            .required_context_keys(required.iter().map(text))
            .build()
            .expect("settings");
        let reproduced = case["reproduced_encryption_context"].as_object();
        let context = reproduced
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), text(value)))
            .collect();
        Ok((client, context))
    }
}

pub fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hex");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The suite that a manifest names by four hexadecimal digits.
pub fn suite(value: &Value) -> AlgorithmSuite {
    text(value).parse().expect("a suite")
}

/// The folder that the project's own tests may use where it is there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/vectors")
        .join(name);
    folder.join("manifest.json").exists().then_some(folder)
}
