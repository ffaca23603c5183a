//! `inspect` on arbitrary bytes, and the same bytes in pieces through a
//! `Decryptor` whose provider opens nothing: the same verdict and the same
//! fields, and those of the model.
#![no_main]

use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use waxseal::{
    ContentLayout, EncryptionContext, Error, GenerateDataKey, GeneratedDataKey, KeyProvider,
    ProviderError, ProviderErrorKind, ProviderFuture, ProviderIdentity, ProviderOperation,
    UnverifiedHeader, UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, inspect,
};
use waxseal_fuzz::caller::{Caller, context, edk, kind};
use waxseal_fuzz::model::{self, Edk, Header, Kind};
use waxseal_fuzz::tape::{Coded, Cuts, Tape, read};

#[derive(Default)]
struct Input {
    cuts: Cuts,
    /// 0 stands for none.
    max_edks: u8,
    max_header_length: u16,
    bytes: Vec<u8>,
}

impl Coded for Input {
    fn code(&mut self, tape: &mut impl Tape) {
        self.cuts.code(tape);
        tape.byte(&mut self.max_edks);
        tape.u16(&mut self.max_header_length);
        tape.rest(&mut self.bytes);
    }
}

/// Opens nothing, and keeps what it was asked.
#[derive(Clone, Default)]
struct Failing(Arc<Mutex<Option<Asked>>>);

#[derive(Debug, PartialEq)]
struct Asked {
    suite: u16,
    context: EncryptionContext,
    context_bytes: Vec<u8>,
    edks: Vec<Edk>,
}

impl KeyProvider for Failing {
    fn identity(&self) -> ProviderIdentity {
        ProviderIdentity::new("failing", &[])
    }

    fn generate_data_key<'a>(
        &'a self,
        _request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let (operation, kind) = (ProviderOperation::Generate, ProviderErrorKind::Unsupported);
        Box::pin(async move { Err(ProviderError::new(operation, kind, "failing")) })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        *self.0.lock().unwrap() = Some(Asked {
            suite: request.suite().id(),
            context: request.context().clone(),
            context_bytes: request.context_bytes().to_vec(),
            edks: request.encrypted_data_keys().iter().map(edk).collect(),
        });
        let mut failures = UnwrapFailures::new();
        for (index, edk) in request.encrypted_data_keys().iter().enumerate().take(4) {
            let (operation, kind) = (ProviderOperation::Unwrap, ProviderErrorKind::NotConfigured);
            failures.push(index, edk, ProviderError::new(operation, kind, "failing"));
        }
        Box::pin(async move { Err(failures) })
    }
}

fuzz_target!(|data: &[u8]| {
    let input: Input = read(data);
    let bytes = &input.bytes[..];
    looked_at(bytes);

    let caller = Caller {
        max_edks: (input.max_edks > 0).then_some(input.max_edks.into()),
        max_header_length: match input.max_header_length {
            0 => usize::MAX,
            length => length.into(),
        },
        ..Caller::default()
    };
    let expected = verdict(bytes, &caller);
    let nothing = EncryptionContext::new();

    let asked = Failing::default();
    let error = caller
        .client_of(asked.clone())
        .decrypt(bytes, &nothing)
        .expect_err("no key was given");
    check(&error, asked, &expected);

    let asked = Failing::default();
    let client = caller.client_of(asked.clone());
    let mut decryptor = client.decryptor(&nothing);
    let mut out = Vec::new();
    let pieces = input.cuts.pieces(bytes);
    let pushed = pieces
        .iter()
        .try_for_each(|piece| decryptor.push(piece, &mut out));
    if pushed.is_err() {
        let closed = decryptor.push(b"\x02", &mut out);
        assert!(matches!(closed, Err(Error::StreamClosed)), "{closed:?}");
    }
    assert!(out.is_empty() && decryptor.header().is_none() && decryptor.details().is_none());
    let in_pieces = match pushed {
        Ok(()) => decryptor.finish().expect_err("no key was given"),
        Err(error) => error,
    };
    check(&in_pieces, asked, &expected);
    assert_eq!(format!("{in_pieces:?}"), format!("{error:?}"));
});

/// `inspect` against the model, on all and on just the header.
fn looked_at(bytes: &[u8]) {
    match (inspect(bytes), model::header(bytes, None, usize::MAX)) {
        (Ok(found), Ok(header)) => {
            same_fields(&found, &header);
            let exact = inspect(&bytes[..header.length]).expect("the whole header");
            same_fields(&exact, &header);
            let short = inspect(&bytes[..header.length - 1]);
            assert!(matches!(short, Err(Error::Truncated)), "{short:?}");
        }
        (Err(error), Err(expected)) => assert_eq!(kind(&error), expected),
        (found, expected) => panic!("found {found:?}, expected {expected:?}"),
    }
}

fn same_fields(found: &UnverifiedHeader, expected: &Header) {
    assert_eq!(found.suite().id(), expected.suite.id);
    assert_eq!(found.is_signed(), expected.suite.curve.is_some());
    assert_eq!(found.message_id(), expected.message_id);
    assert_eq!(found.context(), &context(&expected.context()));
    let edks: Vec<_> = found.encrypted_data_keys().iter().map(edk).collect();
    assert_eq!(edks, expected.edks);
    let frame_length = match found.layout() {
        ContentLayout::Framed { frame_length } => Some(frame_length),
        _ => None,
    };
    assert_eq!(frame_length, expected.frame_length);
    assert_eq!(found.header_length(), expected.length);
}

/// What a reader without a key must say, and what it must ask for before.
fn verdict(bytes: &[u8], caller: &Caller) -> (Kind, Option<Asked>) {
    let header = match model::header(bytes, caller.max_edks, caller.max_header_length) {
        Ok(header) => header,
        Err(kind) => return (kind, None),
    };
    let pairs = header.context();
    if let Err(kind) = model::public_key(header.suite, &pairs) {
        return (kind, None);
    }
    let asked = Asked {
        suite: header.suite.id,
        context: context(&pairs),
        context_bytes: model::canonical(&pairs).expect("it came in a header"),
        edks: header.edks,
    };
    (Kind::Unwrap, Some(asked))
}

fn check(error: &Error, asked: Failing, expected: &(Kind, Option<Asked>)) {
    assert_eq!(kind(error), expected.0);
    assert_eq!(*asked.0.lock().unwrap(), expected.1);
}
