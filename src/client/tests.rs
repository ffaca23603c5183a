//! What a client checks of materials, whoever made them: a cache that clients
//! of other settings share may hand out any.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::crypto::{CryptoBackend, Entropy};
use crate::materials::{DefaultMaterialsManager, EncryptionMaterials, MaterialsFuture};
use crate::{AlgorithmSuite, CommitmentPolicy, MaterialsError, RawAesProvider, SecretBytes};

const COMMITTING: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKey;
const SIGNED: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha512CommitKeyEcdsaP384;
const OLD: AlgorithmSuite = AlgorithmSuite::Aes256GcmHkdfSha256;

/// Gives materials of its own suite, whatever is asked for.
struct Stubborn {
    suite: AlgorithmSuite,
    inner: DefaultMaterialsManager,
}

impl MaterialsManager for Stubborn {
    fn encryption_materials<'a>(
        &'a self,
        request: EncryptionRequest<'a>,
    ) -> MaterialsFuture<'a, EncryptionMaterials> {
        self.inner.encryption_materials(EncryptionRequest {
            suite: self.suite,
            ..request
        })
    }

    fn decryption_materials<'a>(
        &'a self,
        request: DecryptionRequest<'a>,
    ) -> MaterialsFuture<'a, DecryptionMaterials> {
        let inner = self.inner.decryption_materials(request);
        Box::pin(async move {
            Ok(DecryptionMaterials {
                suite: self.suite,
                ..inner.await?
            })
        })
    }
}

fn client(settings: Settings, suite: AlgorithmSuite) -> blocking::Client {
    let key = SecretBytes::from(vec![7; 32]);
    let provider = Arc::new(RawAesProvider::new("n", "k", &key).unwrap());
    let identity = provider.identity();
    let inner = DefaultMaterialsManager::new(provider, CryptoBackend::default());
    let manager = Box::new(Stubborn { suite, inner });
    let inner = Inner {
        settings,
        manager,
        provider: identity,
    };
    blocking::Client::from(Client {
        inner: Arc::new(inner),
    })
}

fn settings(policy: CommitmentPolicy, suite: AlgorithmSuite) -> Settings {
    Settings {
        policy,
        suite: Some(suite),
        ..Settings::default()
    }
}

#[test]
fn materials_of_another_suite_encrypt_nothing() {
    let (strict, context) = (CommitmentPolicy::default(), EncryptionContext::new());
    for (asked, given) in [
        (COMMITTING, OLD),
        (COMMITTING, SIGNED),
        (SIGNED, COMMITTING),
    ] {
        let error = client(settings(strict, asked), given)
            .encrypt(b"x", &context)
            .unwrap_err();
        let Error::InvalidMaterials(MaterialsError::Suite(found)) = error else {
            panic!("{error}");
        };
        assert_eq!(found, given);
    }
}

#[test]
fn materials_of_another_suite_decrypt_nothing() {
    let (strict, context) = (CommitmentPolicy::default(), EncryptionContext::new());
    for (written, given) in [
        (COMMITTING, SIGNED),
        (COMMITTING, OLD),
        (SIGNED, COMMITTING),
    ] {
        let honest = client(settings(strict, written), written);
        let message = honest.encrypt(b"x", &context).unwrap();
        let error = client(settings(strict, written), given).decrypt(&message, &context);
        let Err(Error::InvalidMaterials(MaterialsError::Suite(found))) = error else {
            panic!("{error:?}");
        };
        assert_eq!(found, given);
    }
}

/// The policy is checked on the materials once more, and not only on what is
/// asked for.
#[test]
fn the_policy_has_the_last_word() {
    let (old, context) = (
        CommitmentPolicy::ForbidEncryptAllowDecrypt,
        EncryptionContext::new(),
    );
    let message = client(settings(old, OLD), OLD)
        .encrypt(b"x", &context)
        .unwrap();
    let mut parser = HeaderParser::new(Settings::default().header_limits());
    parser.advance(&message).unwrap();
    let header = parser.finish();
    let lenient = client(settings(old, OLD), OLD);
    let request = DecryptionRequest {
        suite: OLD,
        stored: &header.context,
        expected: &context,
        required: &BTreeSet::new(),
        edks: &header.edks,
        policy: old,
    };
    let manager = &lenient.inner().manager;
    let materials = blocking::block_on(manager.decryption_materials(request)).unwrap();
    let raw = &message[..header.length];
    for (policy, allowed) in [(old, true), (CommitmentPolicy::default(), false)] {
        let settings = settings(policy, OLD);
        let release = Release::EachFrame;
        let opened = Opener::start(&settings, &header, raw, &materials, release, 0);
        assert_eq!(opened.is_ok(), allowed);
        if let Err(error) = opened {
            assert!(matches!(error, Error::SuiteForbidden { .. }), "{error}");
        }
        let message_id = MessageId::zeroed(OLD);
        let random = CryptoBackend::default().random().clone();
        let mut entropy = Entropy::draw(&random, 96).unwrap();
        let request = EncryptionRequest {
            suite: OLD,
            context: &context,
            required: &BTreeSet::new(),
            policy: old,
            plaintext_bound: None,
            entropy: &mut entropy,
        };
        let materials = blocking::block_on(manager.encryption_materials(request)).unwrap();
        let sealed = Sealer::start(&settings, OLD, materials, message_id, &mut entropy);
        assert_eq!(sealed.is_ok(), allowed);
    }
}
