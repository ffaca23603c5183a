//! Generating, wrapping and unwrapping as it is meant.

use std::sync::Arc;

use super::subject::{
    Outcome, Sealed, Subject, ensure, fail, generate, generate_from, some_context, unsupported,
    unwrap, wrap,
};
use crate::context::EncryptionContext;
use crate::crypto::{SecretBytes, SecureRandom};
use crate::message::EncryptedDataKey;
use crate::provider::{ProviderErrorKind, ProviderOperation};
use crate::suite::AlgorithmSuite;
use crate::test_util::FailingRandom;

pub(super) async fn stable_identity(subject: &Subject<'_>) -> Outcome {
    let provider = subject.provider;
    let identity = provider.identity();
    ensure!(!identity.label().is_empty(), "the identity has no label");
    let same = |when: &str| {
        ensure!(
            provider.identity() == identity && provider.identity().label() == identity.label(),
            "the identity is another {when}"
        );
        Ok(())
    };
    same("when asked again")?;
    let sealed = subject.seal_any().await?;
    same("after a data key was generated")?;
    subject
        .opens(&sealed, &sealed.edks, "its own data key")
        .await?;
    same("after a data key was unwrapped")?;
    let foreign = EncryptedDataKey::new("nobody's", *b"key", *b"ciphertext");
    let failed = subject.unwrap(&sealed, foreign.as_slice()).await;
    ensure!(failed.is_err(), "a foreign key unwraps");
    same("after a data key was refused")?;
    Ok(None)
}

pub(super) async fn generates_for_each_suite(subject: &Subject<'_>) -> Outcome {
    let context = some_context();
    for suite in AlgorithmSuite::ALL {
        if subject.options.generator.is_some() || !subject.options.suites.contains(&suite) {
            let generated = generate(&**subject.provider, suite, &context).await;
            unsupported(
                generated,
                ProviderOperation::Generate,
                &format!("suite {suite}"),
            )?;
            continue;
        }
        let sealed = subject.seal(suite, &context).await?;
        hides(&sealed, &sealed.edks)?;
        ensure!(
            sealed.data_key.expose().iter().any(|byte| *byte != 0),
            "suite {suite}: the data key is all zeros"
        );
    }
    Ok(subject
        .options
        .generator
        .as_ref()
        .map(|_| "it generates none, as the options say".to_owned()))
}

/// No encrypted data key has the data key in it.
fn hides(sealed: &Sealed, edks: &[EncryptedDataKey]) -> Result<(), String> {
    let (suite, data_key) = (sealed.suite, sealed.data_key.expose());
    for edk in edks {
        for field in [
            edk.provider_id().as_bytes(),
            edk.key_info(),
            edk.ciphertext(),
        ] {
            let clear = field.windows(data_key.len()).any(|part| part == data_key);
            ensure!(
                !clear,
                "suite {suite}: an encrypted data key holds the data key in the clear"
            );
        }
    }
    Ok(())
}

pub(super) async fn generates_fresh_keys(subject: &Subject<'_>) -> Outcome {
    if subject.options.generator.is_some() {
        return Ok(Some("it generates none, as the options say".to_owned()));
    }
    let keys = 16.min(subject.options.most_calls.max(2));
    for suite in subject.suite_for_each_length() {
        let mut seen: Vec<Sealed> = Vec::new();
        for number in 0..keys {
            let sealed = subject.seal(suite, &some_context()).await?;
            for (earlier, other) in seen.iter().enumerate() {
                ensure!(
                    !other.holds(&sealed.data_key),
                    "suite {suite}: data keys {earlier} and {number} are the same"
                );
            }
            seen.push(sealed);
        }
    }
    Ok(None)
}

pub(super) async fn survives_failing_random(subject: &Subject<'_>) -> Outcome {
    if subject.options.generator.is_some() {
        return Ok(Some("it generates none, as the options say".to_owned()));
    }
    let (suite, context) = (subject.suite(), some_context());
    let mut seen: Vec<SecretBytes> = Vec::new();
    for works in 0..16 {
        // One call more: making a request is one of no bytes.
        let random = FailingRandom::after(1 + works);
        let dynamic: Arc<dyn SecureRandom> = Arc::new(random.clone());
        let generated = generate_from(&dynamic, &**subject.provider, suite, &context).await;
        match generated {
            Err(error) => {
                ensure!(
                    random.failures() > 0,
                    "it fails, though the random source did not: {error}"
                );
                ensure!(
                    error.kind() == ProviderErrorKind::Random,
                    "the error must be of the kind Random: {error}"
                );
            }
            // A provider with a source of its own, or one that draws it all.
            Ok(generated) => {
                ensure!(
                    random.failures() == 0,
                    "the random source failed at call {works}, and a data key comes out"
                );
                let data_key = generated.data_key;
                let repeated = seen.iter().any(|key| key.expose() == data_key.expose());
                ensure!(!repeated, "a data key comes out a second time");
                let sealed = Sealed {
                    suite,
                    context: context.clone(),
                    data_key,
                    edks: generated.encrypted_data_keys,
                };
                subject
                    .opens(&sealed, &sealed.edks, "its own data key")
                    .await?;
                seen.push(sealed.data_key);
                break;
            }
        }
    }
    Ok(None)
}

pub(super) async fn unwraps_its_own(subject: &Subject<'_>) -> Outcome {
    let empty = EncryptionContext::new();
    for suite in &subject.options.suites {
        for context in [&some_context(), &empty] {
            let sealed = subject.seal(*suite, context).await?;
            let pairs = context.len();
            let what = format!("suite {suite}, {pairs} pairs of context");
            for _ in 0..2 {
                subject.opens(&sealed, &sealed.edks, &what).await?;
            }
            let own = subject.own(&sealed).await;
            own.map_err(|problem| format!("{what}: {problem}"))?;
        }
    }
    Ok(None)
}

pub(super) async fn wraps_given_keys(subject: &Subject<'_>) -> Outcome {
    let (provider, context) = (&**subject.provider, some_context());
    let operation = ProviderOperation::Wrap;
    let expected = subject.options.wraps;
    let mut cannot = None;
    for suite in &subject.options.suites {
        let data_key = SecretBytes::random(suite.data_key_length())
            .map_err(|error| format!("no data key to wrap: {error}"))?;
        let wrapped = wrap(provider, *suite, &context, &data_key).await;
        if expected == Some(false) {
            unsupported(wrapped, operation, &format!("suite {suite}"))?;
            continue;
        }
        let edks = match wrapped {
            Ok(edks) => edks,
            Err(error) if expected.is_none() && error.kind() == ProviderErrorKind::Unsupported => {
                unsupported(Err::<(), _>(error), operation, &format!("suite {suite}"))?;
                cannot = Some(*suite);
                continue;
            }
            Err(error) => fail!("suite {suite}: {error}"),
        };
        let sealed = Sealed {
            suite: *suite,
            context: context.clone(),
            data_key,
            edks,
        };
        let what = format!("suite {suite}");
        ensure!(!sealed.edks.is_empty(), "{what}: no encrypted data key");
        hides(&sealed, &sealed.edks)?;
        subject.opens(&sealed, &sealed.edks, &what).await?;
        let own = subject.own(&sealed).await?;
        let elsewhere = Sealed {
            context: EncryptionContext::from([("tenant", "8")]),
            ..sealed
        };
        let what = format!("{what}, under another context");
        subject.refuses(&elsewhere, &own, &what).await?;
    }
    Ok(match (expected, cannot) {
        (Some(false), _) => Some("it wraps none, as the options say".to_owned()),
        (_, Some(suite)) => Some(format!("Unsupported, for suite {suite} for example")),
        _ => None,
    })
}

pub(super) async fn binds_context(subject: &Subject<'_>) -> Outcome {
    for suite in subject.suite_for_each_length() {
        let sealed = subject
            .seal(suite, &[("tenant", "7"), ("zone", "eu")].into())
            .await?;
        let others: [(&str, EncryptionContext); 11] = [
            ("another value", [("tenant", "8"), ("zone", "eu")].into()),
            (
                "a value of other case",
                [("tenant", "7"), ("zone", "EU")].into(),
            ),
            ("a longer value", [("tenant", "7"), ("zone", "eu ")].into()),
            ("another key", [("tenent", "7"), ("zone", "eu")].into()),
            (
                "a key of other case",
                [("Tenant", "7"), ("zone", "eu")].into(),
            ),
            (
                "an added pair",
                [("tenant", "7"), ("zone", "eu"), ("z", "")].into(),
            ),
            ("a removed pair", [("tenant", "7")].into()),
            ("values swapped", [("tenant", "eu"), ("zone", "7")].into()),
            (
                "keys and values swapped",
                [("7", "tenant"), ("eu", "zone")].into(),
            ),
            // What a provider would take for the same that joins without lengths.
            (
                "pairs cut elsewhere",
                [("tenant7", ""), ("zon", "eeu")].into(),
            ),
            ("no context", EncryptionContext::new()),
        ];
        for (what, context) in subject.options.choose(others.into()) {
            let result = unwrap(&**subject.provider, suite, &context, &sealed.edks).await;
            super::subject::refused(result, &sealed.edks, &format!("suite {suite}, {what}"))?;
        }
        let bare = subject.seal(suite, &EncryptionContext::new()).await?;
        let result = unwrap(&**subject.provider, suite, &some_context(), &bare.edks).await;
        super::subject::refused(
            result,
            &bare.edks,
            &format!("suite {suite}, a context for none"),
        )?;
        for sealed in [&sealed, &bare] {
            let what = "its own context, after others were refused";
            subject.opens(sealed, &sealed.edks, what).await?;
        }
    }
    Ok(None)
}

pub(super) async fn takes_any_context(subject: &Subject<'_>) -> Outcome {
    let suite = subject.suite();
    let most = subject.options.max_context_length;
    // Two bytes for the count, and four for each pair.
    let long_value = EncryptionContext::from([("k", "v".repeat(most.saturating_sub(7)))]);
    let long_key = EncryptionContext::from([("k".repeat(most.saturating_sub(6)), "")]);
    let many = (0..most.saturating_sub(2) / 8).map(|number| (format!("{number:04x}"), ""));
    let contexts: Vec<(&str, EncryptionContext)> = vec![
        ("the longest value", long_value),
        ("the longest key", long_key),
        ("the most pairs", many.collect()),
        ("an empty key", [("", "value")].into()),
        ("an empty value", [("key", "")].into()),
        ("Cyrillic", [("ключ", "значение")].into()),
        // Sorted by UTF-16 units these come in another order than by bytes.
        (
            "code points beyond U+FFFF",
            [("\u{1f512}", "1"), ("\u{e000}", "2"), ("\u{ffff}", "3")].into(),
        ),
        (
            "control characters",
            [("\0", "\u{7f}\r\n\t"), ("\"\\{}'", "%00")].into(),
        ),
        (
            "white space around",
            [(" key ", "\u{a0}value\u{2003}")].into(),
        ),
    ];
    for (what, context) in subject.options.choose(contexts) {
        if context.to_bytes().is_ok_and(|bytes| bytes.len() > most) {
            continue;
        }
        let sealed = subject.seal(suite, &context).await;
        let sealed = sealed.map_err(|problem| format!("{what}: {problem}"))?;
        subject.opens(&sealed, &sealed.edks, what).await?;
    }
    // The same to a reader, and not to a computer.
    let composed = subject.seal(suite, &[("name", "\u{e9}")].into()).await?;
    let decomposed = Sealed {
        context: [("name", "e\u{301}")].into(),
        ..composed
    };
    let what = "a composed letter for a decomposed one";
    subject.refuses(&decomposed, &decomposed.edks, what).await?;
    Ok((most < crate::context::MAX_LENGTH)
        .then(|| format!("of at most {most} bytes, as the options say")))
}
