//! Messages exchanged with the AWS Encryption SDK for Python and its AWS KMS
//! keyrings, both ways.

use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value, json};
use waxseal::ProviderErrorKind;
use waxseal::blocking::Client;

use crate::Test;
use crate::python::Python;
use crate::world::{World, account, client, context, kind};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("python::strict", strict),
    ("python::several_keys", several_keys),
    ("python::discovery", discovery),
    ("python::multi_region", multi_region),
];

fn python(world: &World) -> MutexGuard<'_, Python> {
    let python = world.python.as_ref().expect("it is there");
    python.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pairs() -> Value {
    let context = context();
    let pairs = context
        .iter()
        .map(|(key, value)| (key.to_owned(), json!(value)));
    Value::Object(pairs.collect())
}

fn keyring(world: &World, kind: &str, keys: &[&str]) -> Value {
    json!({ "kind": kind, "region": world.region, "keys": keys })
}

fn discovering(region: &str, kind: &str, account: &str) -> Value {
    json!({ "kind": kind, "region": region, "partition": "aws", "accounts": [account] })
}

/// They read ours, and we read theirs.
fn exchange(world: &World, writer: &Client, theirs: &Value, readers: &[(Client, Value)]) {
    let ours = writer.encrypt(b"text", &context()).unwrap();
    let theirs = python(world).encrypt(theirs, &pairs()).unwrap();
    for (reader, peer) in readers {
        let read = python(world).decrypt(peer, &pairs(), &ours);
        assert_eq!(read.as_deref(), Ok(&b"text"[..]), "{peer}");
        let read = reader.decrypt(&theirs, &context()).unwrap();
        assert_eq!(read.plaintext, b"text");
        // Each its own, too.
        assert!(python(world).decrypt(peer, &pairs(), &theirs).is_ok());
        assert!(reader.decrypt(&ours, &context()).is_ok());
    }
}

fn strict(world: &World) {
    let key = world.create_key();
    let theirs = keyring(world, "strict", &[&key]);
    let readers = [(world.strict(&[&key]), theirs.clone())];
    exchange(world, &world.strict(&[&key]), &theirs, &readers);

    let another = world.create_key();
    let message = world.strict(&[&key]).encrypt(b"text", &context()).unwrap();
    let wrong = keyring(world, "strict", &[&another]);
    assert!(python(world).decrypt(&wrong, &pairs(), &message).is_err());
    let message = python(world).encrypt(&theirs, &pairs()).unwrap();
    let error = world.strict(&[&another]).decrypt(&message, &context());
    assert_eq!(kind(&error.unwrap_err()), ProviderErrorKind::NotConfigured);
}

fn several_keys(world: &World) {
    let (one, two) = (world.create_key(), world.create_key());
    let readers = [&one, &two].map(|key| {
        let reader = world.strict(&[key]);
        (reader, keyring(world, "strict", &[key]))
    });
    let theirs = keyring(world, "strict", &[&one, &two]);
    exchange(world, &world.strict(&[&one, &two]), &theirs, &readers);
}

fn discovery(world: &World) {
    let key = world.create_key();
    let theirs = keyring(world, "strict", &[&key]);
    let ours = world
        .builder(&world.region)
        .discovery("aws", [account(&key)]);
    let peer = discovering(&world.region, "discovery", account(&key));
    let readers = [(client(ours), peer)];
    exchange(world, &world.strict(&[&key]), &theirs, &readers);

    let message = world.strict(&[&key]).encrypt(b"text", &context()).unwrap();
    let outside = discovering(&world.region, "discovery", "444455556666");
    assert!(python(world).decrypt(&outside, &pairs(), &message).is_err());
}

/// Written in one Region, read in the other.
fn multi_region(world: &World) {
    let (key, replica) = world.create_replicated_key();
    let there = world.other_region();
    let strict = world.builder(there).key(&replica).multi_region();
    let anywhere = world.builder(there).discovery("aws", [account(&key)]);
    let readers = [
        (
            client(strict),
            json!({ "kind": "mrk", "region": there, "keys": [replica] }),
        ),
        (
            client(anywhere.multi_region()),
            discovering(there, "mrk-discovery", account(&key)),
        ),
    ];
    let writer = world.builder(&world.region).generator(&key).multi_region();
    let theirs = keyring(world, "mrk", &[&key]);
    exchange(world, &client(writer), &theirs, &readers);
}
