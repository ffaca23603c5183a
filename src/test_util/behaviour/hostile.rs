//! Encrypted data keys that are damaged, foreign or made up.

use super::subject::{Outcome, Subject, ensure};
use crate::message::EncryptedDataKey;
use crate::provider::ProviderErrorKind;

const MAX: usize = u16::MAX as usize;

pub(super) async fn reports_what_it_unwrapped(subject: &Subject<'_>) -> Outcome {
    let (first, second) = (subject.seal_any().await?, subject.seal_any().await?);
    let own = subject.own(&first).await?;
    let identities = match subject.options.parts.as_slice() {
        [] => vec![subject.provider.identity()],
        parts => parts.to_vec(),
    };
    for (number, edk) in own.iter().enumerate() {
        let what = format!("encrypted data key {number}");
        let mut keys = Vec::new();
        for list in [vec![edk.clone()], vec![foreign(edk, 0), edk.clone()]] {
            let unwrapped = subject.opens(&first, &list, &what).await?;
            ensure!(
                unwrapped.index == list.len() - 1,
                "{what}: index {} is reported, and it stands at {}",
                unwrapped.index,
                list.len() - 1
            );
            ensure!(
                identities.contains(&unwrapped.provider),
                "{what}: '{}' is reported as the provider, and none of {identities:?} is it; one \
                 made of others needs CheckOptions::made_of",
                unwrapped.provider
            );
            ensure!(!unwrapped.key.is_empty(), "{what}: no key is named");
            keys.push((unwrapped.key, unwrapped.key_version));
        }
        ensure!(
            keys[0] == keys[1],
            "{what}: the key is {:?} once and then {:?}",
            keys[0],
            keys[1]
        );
    }
    // Where both unwrap, the first of them is meant. Both are the same
    // provider's, should there be several.
    let place = first.edks.iter().position(|edk| *edk == own[0]);
    for (one, other) in [(&first, &second), (&second, &first)] {
        let at = |edks: &[EncryptedDataKey]| place.and_then(|place| edks.get(place)).cloned();
        let (Some(edk), Some(later)) = (at(&one.edks), at(&other.edks)) else {
            continue;
        };
        let list = [edk, later];
        let unwrapped = subject.opens(one, &list, "the first of two").await?;
        ensure!(
            unwrapped.index == 0,
            "of two that unwrap it reports number {}, and the first is meant",
            unwrapped.index
        );
    }
    Ok(None)
}

/// One like it, of a provider that there is not.
fn foreign(like: &EncryptedDataKey, number: usize) -> EncryptedDataKey {
    let provider_id = format!("nobody's provider {number} (waxseal behaviour suite)");
    changed(like, Some(&provider_id), None, None).expect("within the limits")
}

/// One like it but for the fields given; `None` if it were too long.
fn changed(
    like: &EncryptedDataKey,
    provider_id: Option<&str>,
    key_info: Option<&[u8]>,
    ciphertext: Option<&[u8]>,
) -> Option<EncryptedDataKey> {
    EncryptedDataKey::new(
        provider_id.unwrap_or(like.provider_id()),
        key_info.unwrap_or(like.key_info()),
        ciphertext.unwrap_or(like.ciphertext()),
    )
}

pub(super) async fn leaves_foreign_keys_alone(subject: &Subject<'_>) -> Outcome {
    let sealed = subject.seal_any().await?;
    let own = subject.own(&sealed).await?;
    let id = own[0].provider_id();
    let foreign: Vec<_> = [
        Some(foreign(&own[0], 0)),
        EncryptedDataKey::new("", "", ""),
        EncryptedDataKey::new("aws-kms-nobody", "arn:aws:kms:::key/none", vec![0; 184]),
        changed(&own[0], Some(&format!("{id}\0")), None, None),
        changed(&own[0], Some(&format!(" {id}")), None, None),
    ]
    .into_iter()
    .flatten()
    // A provider may be called so.
    .filter(|edk| own.iter().all(|own| own.provider_id() != edk.provider_id()))
    .collect();
    let failures = subject.refuses(&sealed, &foreign, "foreign keys").await?;
    for failure in failures.iter() {
        for cause in &failure.causes {
            ensure!(
                cause.kind() == ProviderErrorKind::NotConfigured,
                "a foreign key must be NotConfigured: {cause}"
            );
        }
    }
    for edk in &own {
        for index in subject.options.sample(foreign.len() + 1) {
            let mut list = foreign.clone();
            list.insert(index, edk.clone());
            let what = format!("its own at index {index} among foreign ones");
            let unwrapped = subject.opens(&sealed, &list, &what).await?;
            ensure!(
                unwrapped.index == index,
                "{what}: index {} is reported",
                unwrapped.index
            );
        }
    }
    Ok(None)
}

pub(super) async fn refuses_damage(subject: &Subject<'_>) -> Outcome {
    for suite in subject.suite_for_each_length() {
        let sealed = subject.seal(suite, &super::subject::some_context()).await?;
        let other = subject.seal(suite, &super::subject::some_context()).await?;
        for edk in subject.own(&sealed).await? {
            let mut damaged = damage(&edk);
            // Parts of two that belong to one context, and not together.
            for other in &other.edks {
                let [info, ciphertext] = [other.key_info(), other.ciphertext()].map(Some);
                if info != Some(edk.key_info()) {
                    let mixed = [
                        changed(&edk, None, info, None),
                        changed(&edk, None, None, ciphertext),
                    ];
                    let mixed = mixed.into_iter().flatten();
                    damaged.extend(mixed.map(|edk| ("mixed with another".to_owned(), edk)));
                }
            }
            for (what, damaged) in subject.options.choose(damaged) {
                let list = [damaged, edk.clone()];
                let alone = subject.refuses(&sealed, &list[..1], &what).await;
                alone.map_err(|problem| format!("suite {suite}: {problem}"))?;
                let what = format!("suite {suite}, a good one after one damaged ({what})");
                let unwrapped = subject.opens(&sealed, &list, &what).await?;
                ensure!(unwrapped.index == 1, "{what}: index 0 is reported");
            }
        }
    }
    Ok(None)
}

/// Every change of one byte, and other lengths, of each field.
fn damage(edk: &EncryptedDataKey) -> Vec<(String, EncryptedDataKey)> {
    let mut damaged = Vec::new();
    let mut add = |what: String, edk: Option<EncryptedDataKey>| {
        damaged.extend(edk.map(|edk| (what, edk)));
    };
    for (at, character) in edk.provider_id().char_indices() {
        let mut other = edk.provider_id().to_owned();
        let replacement = if character == 'x' { "y" } else { "x" };
        other.replace_range(at..at + character.len_utf8(), replacement);
        let what = format!("byte {at} of the provider id");
        add(what, changed(edk, Some(&other), None, None));
    }
    for other in other_lengths(edk.provider_id().as_bytes()) {
        let other = String::from_utf8_lossy(&other);
        let what = format!("a provider id of {} bytes", other.len());
        add(what, changed(edk, Some(&other), None, None));
    }
    for (at, other) in flipped(edk.key_info()) {
        let what = format!("byte {at} of the key info");
        add(what, changed(edk, None, Some(&other), None));
    }
    for other in other_lengths(edk.key_info()) {
        let what = format!("a key info of {} bytes", other.len());
        add(what, changed(edk, None, Some(&other), None));
    }
    for (at, other) in flipped(edk.ciphertext()) {
        let what = format!("byte {at} of the ciphertext");
        add(what, changed(edk, None, None, Some(&other)));
    }
    for other in other_lengths(edk.ciphertext()) {
        let what = format!("a ciphertext of {} bytes", other.len());
        add(what, changed(edk, None, None, Some(&other)));
    }
    damaged
}

/// One bit of each byte, another from byte to byte.
fn flipped(field: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..field.len()).map(|at| {
        let mut other = field.to_vec();
        other[at] ^= 1 << (at % 8);
        (at, other)
    })
}

/// The field empty, shorter by its first or last byte, longer, and twice.
fn other_lengths(field: &[u8]) -> Vec<Vec<u8>> {
    let shorter = [1..field.len(), 0..field.len().saturating_sub(1)];
    let mut all = vec![Vec::new(), [field, &[0]].concat(), field.repeat(2)];
    all.extend(
        shorter
            .into_iter()
            .filter_map(|part| Some(field.get(part)?.to_vec())),
    );
    all.retain(|other| other != field);
    all
}

const LENGTHS: [usize; 24] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    11,
    12,
    13,
    15,
    16,
    17,
    24,
    27,
    28,
    29,
    32,
    33,
    255,
    256,
    4_096,
    MAX - 1,
    MAX,
];

pub(super) async fn survives_hostile_keys(subject: &Subject<'_>) -> Outcome {
    let sealed = subject.seal_any().await?;
    let own = subject.own(&sealed).await?;
    let mut hostile = Vec::new();
    for edk in &own {
        for length in LENGTHS {
            for pattern in [&[0][..], &[0xff], b"x", edk.key_info(), edk.ciphertext()] {
                let bytes: Vec<_> = pattern.iter().copied().cycle().take(length).collect();
                let text = "x".repeat(length);
                hostile.extend([
                    changed(edk, None, Some(&bytes), None),
                    changed(edk, None, None, Some(&bytes)),
                    changed(edk, None, Some(&bytes), Some(&bytes)),
                    changed(edk, Some(&text), Some(&bytes), Some(&bytes)),
                ]);
                // Its own key info, and more of it.
                let longer = [edk.key_info(), &bytes].concat();
                hostile.push(changed(edk, None, Some(&longer), None));
            }
        }
    }
    let mut hostile: Vec<_> = hostile.into_iter().flatten().collect();
    hostile.retain(|edk| !sealed.edks.contains(edk));
    for edk in subject.options.choose(hostile) {
        let what = format!(
            "provider id, key info and ciphertext of {}, {} and {} bytes",
            edk.provider_id().len(),
            edk.key_info().len(),
            edk.ciphertext().len()
        );
        subject.refuses(&sealed, &[edk], &what).await?;
    }
    // As many as a header may hold of short ones, and more.
    let mut list: Vec<_> = (0..10_000).map(|number| foreign(&own[0], number)).collect();
    subject
        .refuses(&sealed, &list, "10,000 foreign keys")
        .await?;
    list.push(own[0].clone());
    let what = "its own after 10,000 foreign ones";
    let unwrapped = subject.opens(&sealed, &list, what).await?;
    ensure!(
        unwrapped.index == 10_000,
        "{what}: another index is reported"
    );
    Ok(None)
}

pub(super) async fn refuses_empty_list(subject: &Subject<'_>) -> Outcome {
    let sealed = subject.seal_any().await?;
    subject
        .refuses(&sealed, &[], "no encrypted data keys")
        .await?;
    Ok(None)
}
