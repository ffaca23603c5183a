//! Dropped futures, many threads, many futures on one.

use std::sync::{Arc, Mutex, PoisonError};

use super::driving::{at_most, in_thread, together};
use super::subject::{
    Outcome, Sealed, Subject, drop_unpolled, ensure, generate, refused, some_context, unwrap, wrap,
};
use crate::context::EncryptionContext;
use crate::crypto::SecretBytes;

pub(super) async fn survives_dropping(subject: &Subject<'_>) -> Outcome {
    let (provider, suite, context) = (&**subject.provider, subject.suite(), some_context());
    let sealed = subject.seal_any().await?;
    drop_unpolled(provider, &sealed);
    let what = "after futures were dropped that were never polled";
    subject.opens(&sealed, &sealed.edks, what).await?;
    for polls in 1..64.min(subject.options.most_calls.saturating_add(1)) {
        let generated = at_most(polls, generate(provider, suite, &context)).await;
        let wrapped = at_most(polls, wrap(provider, suite, &context, &sealed.data_key)).await;
        let unwrapped = at_most(polls, unwrap(provider, suite, &context, &sealed.edks)).await;
        let what = format!("after futures were dropped at poll {polls}");
        let fresh = subject.seal_any().await;
        let fresh = fresh.map_err(|problem| format!("{what}: {problem}"))?;
        ensure!(!sealed.holds(&fresh.data_key), "{what}: the same data key");
        for sealed in [&sealed, &fresh] {
            subject.opens(sealed, &sealed.edks, &what).await?;
        }
        if generated.is_some() && wrapped.is_some() && unwrapped.is_some() {
            return Ok(None);
        }
    }
    Ok(None)
}

pub(super) async fn works_concurrently(subject: &Subject<'_>) -> Outcome {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let threads = (0..subject.options.threads).map(|thread| {
        let (provider, options) = (subject.provider.clone(), subject.options.clone());
        let seen = seen.clone();
        in_thread(move || {
            let subject = Subject::new(&provider, &options);
            options.drive(several_rounds(&subject, thread, &seen))
        })
    });
    for outcome in together(threads).await {
        outcome?;
    }
    let side_by_side = (0..8).map(|task| several_rounds(subject, 1_000 + task, &seen));
    for outcome in together(side_by_side).await {
        outcome?;
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by(|one: &SecretBytes, other| one.expose().cmp(other.expose()));
    let twice = seen
        .windows(2)
        .any(|pair| pair[0].expose() == pair[1].expose());
    ensure!(!twice, "two threads have the same data key");
    Ok(None)
}

/// Rounds under a context of its own, each holding on to the one before.
async fn several_rounds(
    subject: &Subject<'_>,
    number: usize,
    seen: &Mutex<Vec<SecretBytes>>,
) -> Outcome {
    let what = format!("thread or task {number} of several");
    let context = EncryptionContext::from([("caller", number.to_string())]);
    let elsewhere = EncryptionContext::from([("caller", (number + 1).to_string())]);
    let mut before: Option<Sealed> = None;
    for _ in 0..12.min(subject.options.most_calls) {
        let sealed = subject.seal(subject.suite(), &context).await;
        let sealed = sealed.map_err(|problem| format!("{what}: {problem}"))?;
        for sealed in before.iter().chain([&sealed]) {
            subject.opens(sealed, &sealed.edks, &what).await?;
        }
        let provider = &**subject.provider;
        let wrong = unwrap(provider, sealed.suite, &elsewhere, &sealed.edks).await;
        refused(wrong, &sealed.edks, &format!("{what}: another's context"))?;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(SecretBytes::copy_from(sealed.data_key.expose()));
        drop(seen);
        before = Some(sealed);
    }
    Ok(None)
}
