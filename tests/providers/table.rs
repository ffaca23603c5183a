//! A provider that keeps data keys in a table and hands out tokens for them,
//! and what may be wrong with one.

use std::collections::HashMap;
use std::future::{Future, poll_fn, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;

use waxseal::{
    EncryptedDataKey, GenerateDataKey, GeneratedDataKey, KeyProvider, ProviderError,
    ProviderErrorKind, ProviderFuture, ProviderIdentity, ProviderOperation, SecretBytes,
    UnwrapDataKey, UnwrapFailures, UnwrappedDataKey, WrapDataKey,
};

const PROVIDER_ID: &str = "table";
const KEY: &str = "table key";
const TOKEN: usize = 16;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    None,
    ChangingIdentity,
    EmptyLabel,
    WrongLength,
    NoEncryptedDataKeys,
    DataKeyInTheClear,
    SameDataKey,
    ZerosWithoutRandomness,
    RandomFailureIsUnavailable,
    UnwrapsOnce,
    WrapsAnotherKey,
    WrapsForAnyContext,
    IgnoresContext,
    JoinsContextWithoutLengths,
    RefusesEmptyContext,
    ShortContextsOnly,
    TrimsContext,
    ReportsIndexZero,
    ReportsAnother,
    NamesNoKey,
    TakesTheLast,
    IgnoresProviderId,
    IgnoresKeyInfo,
    ForeignIsInvalid,
    StopsAtForeign,
    ComparesHalf,
    TakesTrailingBytes,
    StopsAtDamage,
    PanicsWhenShort,
    OneFailureForAll,
    EmptyListOpens,
    PanicsWithEmptyList,
    StuckWhenDropped,
    OneAtATime,
    NotOnOtherThreads,
    NeverReady,
    ForgetsToWake,
    Panics,
}

pub(crate) struct Table {
    flaw: Flaw,
    rows: Mutex<HashMap<Vec<u8>, Row>>,
    identities: AtomicUsize,
    in_use: AtomicBool,
    thread: std::thread::ThreadId,
}

struct Row {
    data_key: Vec<u8>,
    /// `None` where any will do.
    context: Option<Vec<u8>>,
}

fn failed(operation: ProviderOperation, kind: ProviderErrorKind) -> ProviderError {
    ProviderError::new(operation, kind, "table")
}

impl Table {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Table {
            flaw,
            rows: Mutex::default(),
            identities: AtomicUsize::new(0),
            in_use: AtomicBool::new(false),
            thread: std::thread::current().id(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Row>> {
        self.rows.lock().unwrap()
    }

    /// What of a context the table keeps and compares.
    fn bound(&self, context: &waxseal::EncryptionContext) -> Vec<u8> {
        match self.flaw {
            Flaw::IgnoresContext => Vec::new(),
            Flaw::JoinsContextWithoutLengths => {
                let pairs = context.iter().flat_map(|(key, value)| [key, value]);
                pairs.collect::<String>().into_bytes()
            }
            Flaw::TrimsContext => {
                let lower = context.iter().map(|(k, v)| format!("{k}={};", v.trim()));
                lower.collect::<String>().into_bytes()
            }
            _ => context.to_bytes().unwrap(),
        }
    }

    fn insert(
        &self,
        mut request: WrapDataKey<'_>,
        data_key: &[u8],
        context: Option<Vec<u8>>,
    ) -> Result<EncryptedDataKey, ProviderError> {
        let bytes = request.context_bytes();
        if self.flaw == Flaw::RefusesEmptyContext && bytes.is_empty()
            || self.flaw == Flaw::ShortContextsOnly && bytes.len() > 1_000
        {
            let kind = ProviderErrorKind::Other;
            return Err(failed(ProviderOperation::Wrap, kind));
        }
        let mut token = vec![0; TOKEN];
        request.fill_random(&mut token).map_err(|error| {
            failed(ProviderOperation::Wrap, ProviderErrorKind::Random).with_source(error)
        })?;
        let row = Row {
            data_key: data_key.to_vec(),
            context,
        };
        if self.flaw == Flaw::ComparesHalf {
            self.rows().insert(token[..TOKEN / 2].to_vec(), row);
        } else {
            self.rows().insert(token.clone(), row);
        }
        if self.flaw == Flaw::DataKeyInTheClear {
            token.extend_from_slice(data_key);
        }
        Ok(EncryptedDataKey::new(PROVIDER_ID, KEY, token).unwrap())
    }

    fn look_up(
        &self,
        edk: &EncryptedDataKey,
        context: &waxseal::EncryptionContext,
    ) -> Result<SecretBytes, ProviderErrorKind> {
        let own = edk.provider_id() == PROVIDER_ID || self.flaw == Flaw::IgnoresProviderId;
        let own = own && (edk.key_info() == KEY.as_bytes() || self.flaw == Flaw::IgnoresKeyInfo);
        if !own {
            return Err(match self.flaw {
                Flaw::ForeignIsInvalid => ProviderErrorKind::InvalidCiphertext,
                _ => ProviderErrorKind::NotConfigured,
            });
        }
        let token = match self.flaw {
            Flaw::PanicsWhenShort => &edk.ciphertext()[..TOKEN],
            Flaw::ComparesHalf => &edk.ciphertext()[..edk.ciphertext().len().min(TOKEN / 2)],
            Flaw::TakesTrailingBytes | Flaw::DataKeyInTheClear => {
                &edk.ciphertext()[..edk.ciphertext().len().min(TOKEN)]
            }
            _ => edk.ciphertext(),
        };
        let mut rows = self.rows();
        let row = rows
            .get(token)
            .ok_or(ProviderErrorKind::InvalidCiphertext)?;
        let wrong = |bound: &Vec<u8>| *bound != self.bound(context);
        if row.context.as_ref().is_some_and(wrong) {
            return Err(ProviderErrorKind::InvalidCiphertext);
        }
        let data_key = SecretBytes::copy_from(&row.data_key);
        if self.flaw == Flaw::UnwrapsOnce {
            rows.remove(token);
        }
        Ok(data_key)
    }

    fn generate(
        &self,
        mut request: GenerateDataKey<'_>,
    ) -> Result<GeneratedDataKey, ProviderError> {
        let length = request.suite().data_key_length();
        let data_key = match (self.flaw, request.random_data_key()) {
            (Flaw::WrongLength, Ok(_)) => SecretBytes::from(vec![length as u8; 31]),
            (Flaw::SameDataKey, Ok(_)) => SecretBytes::from(vec![7; length]),
            (_, Ok(data_key)) => data_key,
            (Flaw::ZerosWithoutRandomness, Err(_)) => {
                let edk = EncryptedDataKey::new(PROVIDER_ID, KEY, vec![0; TOKEN]).unwrap();
                let zeros = SecretBytes::from(vec![0; length]);
                return Ok(GeneratedDataKey::new(zeros, vec![edk]));
            }
            (flaw, Err(error)) => {
                let kind = match flaw {
                    Flaw::RandomFailureIsUnavailable => ProviderErrorKind::Unavailable,
                    _ => ProviderErrorKind::Random,
                };
                return Err(failed(ProviderOperation::Generate, kind).with_source(error));
            }
        };
        let context = Some(self.bound(request.context()));
        let edk = self.insert(request.wrap(&data_key), data_key.expose(), context)?;
        let edks = match self.flaw {
            Flaw::NoEncryptedDataKeys => Vec::new(),
            _ => vec![edk],
        };
        Ok(GeneratedDataKey::new(data_key, edks))
    }

    fn unwrap(&self, request: UnwrapDataKey<'_>) -> Result<UnwrappedDataKey, UnwrapFailures> {
        let edks = request.encrypted_data_keys();
        let mut failures = UnwrapFailures::new();
        match (self.flaw, edks.is_empty()) {
            (Flaw::PanicsWithEmptyList, true) => panic!("no encrypted data keys"),
            (Flaw::EmptyListOpens, true) => {
                let length = request.suite().data_key_length();
                return Ok(self.unwrapped(SecretBytes::from(vec![0; length]), 0));
            }
            _ => {}
        }
        let mut opened = None;
        for (index, edk) in edks.iter().enumerate() {
            let kind = match self.look_up(edk, request.context()) {
                Ok(data_key) => {
                    opened = Some(self.unwrapped(data_key, index));
                    match self.flaw {
                        Flaw::TakesTheLast => continue,
                        _ => break,
                    }
                }
                Err(kind) => kind,
            };
            if self.flaw != Flaw::OneFailureForAll || index == 0 {
                failures.push(index, edk, failed(ProviderOperation::Unwrap, kind));
            }
            let foreign = kind == ProviderErrorKind::NotConfigured;
            if self.flaw == Flaw::StopsAtForeign && foreign
                || self.flaw == Flaw::StopsAtDamage && !foreign
            {
                for (rest, edk) in edks.iter().enumerate().skip(index + 1) {
                    failures.push(rest, edk, failed(ProviderOperation::Unwrap, kind));
                }
                break;
            }
        }
        opened.ok_or(failures)
    }

    fn unwrapped(&self, data_key: SecretBytes, index: usize) -> UnwrappedDataKey {
        let index = match self.flaw {
            Flaw::ReportsIndexZero => 0,
            _ => index,
        };
        let provider = match self.flaw {
            Flaw::ReportsAnother => ProviderIdentity::new("another", &[]),
            _ => self.identity(),
        };
        let key = match self.flaw {
            Flaw::NamesNoKey => "",
            _ => KEY,
        };
        UnwrappedDataKey::new(data_key, index, provider, key)
    }

    /// Lets what is asked wait for a poll, where that is when it goes wrong.
    fn answer<'a, T: Send + 'a, E: Send + 'a>(
        &'a self,
        unavailable: impl FnOnce() -> E + Send + 'a,
        answer: impl FnOnce() -> Result<T, E> + Send + 'a,
    ) -> ProviderFuture<'a, T, E> {
        match self.flaw {
            Flaw::Panics => panic!("not today"),
            Flaw::NotOnOtherThreads if std::thread::current().id() != self.thread => {
                Box::pin(ready(Err(unavailable())))
            }
            Flaw::NeverReady => Box::pin(std::future::pending()),
            Flaw::ForgetsToWake => Box::pin(async {
                pending_once(false).await;
                answer()
            }),
            Flaw::OneAtATime | Flaw::StuckWhenDropped => Box::pin(async {
                if self.in_use.swap(true, Ordering::SeqCst) {
                    return Err(unavailable());
                }
                let given_back = (self.flaw == Flaw::OneAtATime).then(|| Taken(&self.in_use));
                pending_once(true).await;
                drop(given_back);
                self.in_use.store(false, Ordering::SeqCst);
                answer()
            }),
            _ => Box::pin(ready(answer())),
        }
    }
}

/// Gives back what is in use, also where a future is dropped.
struct Taken<'a>(&'a AtomicBool);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn pending_once(wake: bool) -> impl Future<Output = ()> {
    let mut polled = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        if wake {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
}

impl KeyProvider for Table {
    fn identity(&self) -> ProviderIdentity {
        let number = self.identities.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::ChangingIdentity => ProviderIdentity::new("table", &[&number.to_be_bytes()]),
            Flaw::EmptyLabel => ProviderIdentity::new("", &[b"table"]),
            _ => ProviderIdentity::new("table", &[b"the only one"]),
        }
    }

    fn generate_data_key<'a>(
        &'a self,
        request: GenerateDataKey<'a>,
    ) -> ProviderFuture<'a, GeneratedDataKey> {
        let unavailable = || failed(ProviderOperation::Generate, ProviderErrorKind::Unavailable);
        self.answer(unavailable, || self.generate(request))
    }

    fn wrap_data_key<'a>(
        &'a self,
        request: WrapDataKey<'a>,
    ) -> ProviderFuture<'a, Vec<EncryptedDataKey>> {
        let unavailable = || failed(ProviderOperation::Wrap, ProviderErrorKind::Unavailable);
        self.answer(unavailable, || {
            let mut data_key = request.data_key().expose().to_vec();
            if self.flaw == Flaw::WrapsAnotherKey {
                data_key.reverse();
            }
            let context = match self.flaw {
                Flaw::WrapsForAnyContext => None,
                _ => Some(self.bound(request.context())),
            };
            let edk = self.insert(request, &data_key, context)?;
            Ok(vec![edk])
        })
    }

    fn unwrap_data_key<'a>(
        &'a self,
        request: UnwrapDataKey<'a>,
    ) -> ProviderFuture<'a, UnwrappedDataKey, UnwrapFailures> {
        let unavailable = move || {
            let mut failures = UnwrapFailures::new();
            for (index, edk) in request.encrypted_data_keys().iter().enumerate() {
                let kind = ProviderErrorKind::Unavailable;
                failures.push(index, edk, failed(ProviderOperation::Unwrap, kind));
            }
            failures
        };
        self.answer(unavailable, move || self.unwrap(request))
    }
}
