//! What both sides refuse.

use waxseal::{AlgorithmSuite, CommitmentPolicy, Decrypted, Error, ProviderErrorKind};

use crate::exchange::{Exchange, Key, Pairs};
use crate::peer::{Kind, Peer};
use crate::{AES_128, AES_256, Test};

/// A message under another key, for another context, damaged, cut short.
pub(crate) fn keys_contexts_damage(kind: Kind, suite: AlgorithmSuite) -> [Test; 2] {
    const SAME_NAME: Key = Key::new(AES_256.namespace, AES_256.name, 32, 0x66);
    let exchange = Exchange::new(suite, AES_256).context(&[("k", "v"), ("l", "w")]);
    let other_value = exchange.clone().context(&[("k", "other")]);
    let other_key = exchange.clone().context(&[("m", "v")]);

    let ours = [exchange.clone(), other_value.clone(), other_key.clone()];
    let by_peer = move |peer: &mut Peer| {
        let [exchange, other_value, other_key] = ours;
        let message = &*exchange.encrypt()?;
        peer.decrypt(exchange.request(&[AES_256]), message)?;
        peer.refuses(exchange.request(&[SAME_NAME]), message)?;
        peer.refuses(exchange.request(&[AES_128]), message)?;
        peer.refuses(other_value.request(&[AES_256]), message)?;
        peer.refuses(other_key.request(&[AES_256]), message)?;
        peer.refuses(exchange.request(&[AES_256]), &damaged(message))?;
        peer.refuses(exchange.request(&[AES_256]), short(message))
    };
    let by_us = move |peer: &mut Peer| {
        let message = &*exchange.encrypt_by(peer)?;
        accepted(exchange.decrypt(&[AES_256], message))?;
        refused(exchange.decrypt(&[SAME_NAME], message), |error| {
            unwrap_failed(error, ProviderErrorKind::InvalidCiphertext)
        })?;
        refused(exchange.decrypt(&[AES_128], message), |error| {
            unwrap_failed(error, ProviderErrorKind::NotConfigured)
        })?;
        refused(
            other_value.decrypt(&[AES_256], message),
            |error| matches!(error, Error::ContextMismatch { key } if key == "k"),
        )?;
        refused(
            other_key.decrypt(&[AES_256], message),
            |error| matches!(error, Error::ContextKeyNotInMessage { key } if key == "m"),
        )?;
        refused(
            exchange.decrypt(&[AES_256], &damaged(message)),
            |error| match error {
                Error::Signature => suite.is_signed(),
                Error::FrameAuthentication { .. } => !suite.is_signed(),
                _ => false,
            },
        )?;
        refused(exchange.decrypt(&[AES_256], short(message)), |error| {
            matches!(error, Error::Truncated)
        })
    };
    [
        Test::new(kind, "we-encrypt", suite, "refused", by_peer),
        Test::new(kind, "we-decrypt", suite, "refused", by_us),
    ]
}

/// A message whose suite the reader's commitment policy forbids.
pub(crate) fn policies(kind: Kind, suite: AlgorithmSuite) -> [Test; 2] {
    let exchange = Exchange::new(suite, AES_256);
    let strict = exchange
        .clone()
        .policy(CommitmentPolicy::RequireEncryptRequireDecrypt);
    let lenient = exchange
        .clone()
        .policy(CommitmentPolicy::RequireEncryptAllowDecrypt);

    let ours = [exchange.clone(), strict.clone(), lenient.clone()];
    let by_peer = move |peer: &mut Peer| {
        let [exchange, strict, lenient] = ours;
        let message = exchange.encrypt()?;
        peer.decrypt(lenient.request(&[AES_256]), &message)?;
        let request = strict.request(&[AES_256]);
        if suite.commits() {
            peer.decrypt(request, &message).map(drop)
        } else {
            peer.refuses(request, &message)
        }
    };
    let by_us = move |peer: &mut Peer| {
        let message = exchange.encrypt_by(peer)?;
        accepted(lenient.decrypt(&[AES_256], &message))?;
        let opened = strict.decrypt(&[AES_256], &message);
        if suite.commits() {
            accepted(opened)
        } else {
            refused(
                opened,
                |error| matches!(error, Error::SuiteForbidden { suite: found, .. } if *found == suite),
            )
        }
    };
    [
        Test::new(kind, "we-encrypt", suite, "policies", by_peer),
        Test::new(kind, "we-decrypt", suite, "policies", by_us),
    ]
}

/// A context, some of whose keys are required.
pub(crate) const REQUIRED_CONTEXT: [(&str, &str); 4] = [
    ("tenant", "7"),
    ("purpose", "backup"),
    ("\u{1f980}", "crab"),
    ("\u{e000}", "private"),
];
pub(crate) const REQUIRED: &[&str] = &["tenant", "\u{1f980}"];

/// A message whose required context keys the reader does not give, or gives
/// with another value, or does not know of.
pub(crate) fn required_context_keys(suite: AlgorithmSuite) -> [Test; 2] {
    const OTHER: Pairs<'_> = &[("tenant", "8"), ("\u{1f980}", "crab")];
    let exchange = Exchange::new(suite, AES_256)
        .context(&REQUIRED_CONTEXT)
        .required(REQUIRED);
    let missing = exchange.clone().context(&REQUIRED_CONTEXT[1..]);
    let other_value = exchange.clone().context(OTHER);
    let unaware = exchange.clone().required(&[]);
    let unaware_and_none_given = unaware.clone().context(&[]);

    let ours = [
        exchange.clone(),
        missing.clone(),
        other_value.clone(),
        unaware_and_none_given.clone(),
    ];
    let by_peer = move |peer: &mut Peer| {
        let [exchange, others @ ..] = ours;
        let message = exchange.encrypt()?;
        peer.decrypt(exchange.request(&[AES_256]), &message)?;
        others
            .iter()
            .try_for_each(|other| peer.refuses(other.request(&[AES_256]), &message))
    };
    let by_us = move |peer: &mut Peer| {
        let message = exchange.encrypt_by(peer)?;
        let open = |reader: &Exchange| reader.decrypt(&[AES_256], &message);
        accepted(open(&exchange))?;
        refused(
            open(&missing),
            |error| matches!(error, Error::RequiredContextKeyMissing { key } if key == "tenant"),
        )?;
        refused(open(&other_value), |error| {
            unwrap_failed(error, ProviderErrorKind::InvalidCiphertext)
        })?;
        refused(
            open(&unaware),
            |error| matches!(error, Error::ContextKeyNotInMessage { key } if REQUIRED.contains(&&**key)),
        )?;
        refused(open(&unaware_and_none_given), |error| {
            unwrap_failed(error, ProviderErrorKind::InvalidCiphertext)
        })
    };
    [
        Test::new(
            Kind::Python,
            "we-encrypt",
            suite,
            "required-keys-refused",
            by_peer,
        ),
        Test::new(
            Kind::Python,
            "we-decrypt",
            suite,
            "required-keys-refused",
            by_us,
        ),
    ]
}

fn accepted(opened: Result<Decrypted, Error>) -> Result<(), String> {
    opened.map(drop).map_err(|error| error.to_string())
}

fn refused(
    opened: Result<Decrypted, Error>,
    expected: impl FnOnce(&Error) -> bool,
) -> Result<(), String> {
    match opened {
        Ok(_) => Err("decrypted, must not".to_owned()),
        Err(error) if expected(&error) => Ok(()),
        Err(error) => Err(format!("refused by another error: {error}")),
    }
}

/// Whether each encrypted data key failed to unwrap in this way only.
fn unwrap_failed(error: &Error, kind: ProviderErrorKind) -> bool {
    let Error::Unwrap(failures) = error else {
        return false;
    };
    let mut causes = failures.iter().flat_map(|failure| &failure.causes);
    failures.iter().count() > 0 && causes.all(|cause| cause.kind() == kind)
}

/// One bit of the last byte flipped: a tag's, or a signature's.
fn damaged(message: &[u8]) -> Vec<u8> {
    let mut damaged = message.to_vec();
    *damaged.last_mut().expect("a message") ^= 1;
    damaged
}

fn short(message: &[u8]) -> &[u8] {
    &message[..message.len() - 1]
}
