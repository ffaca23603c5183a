//! From where the provider can be called: it works, or says that it cannot;
//! nothing hangs.

use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{LocalSet, block_in_place, spawn_blocking};
use waxseal::blocking::{self, wait};
use waxseal::{
    AwsKmsProvider, AwsKmsProviderBuilder, Caching, Client, DataKeyCache, EncryptionContext, Error,
    ProviderErrorKind, RetryPolicy,
};
use waxseal_interop_aws_kms::{Double, Fault, Proxy, arn, client};

const LONG: Duration = Duration::from_secs(60);

fn builder(double: &Double) -> AwsKmsProviderBuilder {
    AwsKmsProvider::builder(client(&double.endpoint()))
        .generator(arn("one"))
        .request_timeout(LONG)
        .retries(RetryPolicy::never().total_time(LONG))
}

fn on(double: &Double, runtime: &Handle) -> AwsKmsProvider {
    builder(double).on_runtime(runtime.clone()).build().unwrap()
}

fn multi_thread(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all();
    builder.build().unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Both operations, with the async client.
async fn works(provider: AwsKmsProvider) {
    let (client, context) = (Client::new(provider), EncryptionContext::new());
    let message = client.encrypt(b"text", &context).await.unwrap();
    let decrypted = client.decrypt(&message, &context).await.unwrap();
    assert_eq!(decrypted.plaintext, b"text");
}

fn works_blocking(provider: AwsKmsProvider) {
    let (client, context) = (blocking::Client::new(provider), EncryptionContext::new());
    let message = client.encrypt(b"text", &context).unwrap();
    let decrypted = client.decrypt(&message, &context).unwrap();
    assert_eq!(decrypted.plaintext, b"text");
}

fn would_block(provider: AwsKmsProvider) {
    let (client, context) = (blocking::Client::new(provider), EncryptionContext::new());
    match client.encrypt(b"text", &context) {
        Err(Error::Provider(error)) => {
            assert_eq!(error.kind(), ProviderErrorKind::WouldBlock, "{error}");
            assert!(error.to_string().contains("spawn_blocking"), "{error}");
        }
        result => panic!("{result:?}"),
    }
}

/// What hangs costs its test, not the run.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (ended, watchdog) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = ended.send(());
    });
    let ended = watchdog.recv_timeout(2 * LONG);
    assert!(
        ended != Err(mpsc::RecvTimeoutError::Timeout),
        "it is still running"
    );
    thread.join().unwrap();
}

#[test]
fn awaited_in_its_own_runtime() {
    in_time(|| {
        let double = Double::start();
        for runtime in [multi_thread(1), multi_thread(4), current_thread()] {
            // The runtime that is there is the one to work on.
            let here = runtime.block_on(async { builder(&double).build().unwrap() });
            runtime.block_on(works(here.clone()));
            let spawned = runtime.spawn(works(here.clone()));
            runtime.block_on(spawned).unwrap();
            LocalSet::new().block_on(&runtime, works(here));
        }
    });
}

#[test]
fn awaited_in_another_runtime_or_none() {
    in_time(|| {
        let double = Double::start();
        let works_there = multi_thread(1);
        let provider = on(&double, works_there.handle());
        current_thread().block_on(works(provider.clone()));
        multi_thread(2).block_on(works(provider.clone()));
        wait(works(provider));
        let own = builder(&double).on_own_runtime().build().unwrap();
        wait(works(own.clone()));
        current_thread().block_on(works(own));
    });
}

#[test]
fn blocking_on_a_thread_outside() {
    in_time(|| {
        let double = Double::start();
        let runtime = multi_thread(1);
        works_blocking(on(&double, runtime.handle()));
        works_blocking(builder(&double).on_own_runtime().build().unwrap());
        // A context is no task: the thread is the caller's own.
        let _guard = runtime.enter();
        works_blocking(on(&double, runtime.handle()));
    });
}

#[test]
fn blocking_where_the_runtime_goes_on() {
    in_time(|| {
        let double = Double::start();
        for runtime in [multi_thread(1), multi_thread(4), current_thread()] {
            let provider = on(&double, runtime.handle());
            let blocking = async { spawn_blocking(|| works_blocking(provider)).await.unwrap() };
            runtime.block_on(blocking);
        }
        let runtime = multi_thread(1);
        let provider = on(&double, runtime.handle());
        let task = runtime.spawn(async { block_in_place(|| works_blocking(provider)) });
        runtime.block_on(task).unwrap();
    });
}

#[test]
fn blocking_in_a_task_of_its_own_runtime() {
    in_time(|| {
        let double = Double::start();
        for runtime in [multi_thread(1), multi_thread(4), current_thread()] {
            let provider = on(&double, runtime.handle());
            let here = provider.clone();
            runtime.block_on(async { would_block(here) });
            let here = provider.clone();
            runtime
                .block_on(runtime.spawn(async { would_block(here) }))
                .unwrap();
            let here = provider.clone();
            LocalSet::new().block_on(&runtime, async { would_block(here) });
            // The task goes on, and can await.
            let there = provider.clone();
            runtime.block_on(async {
                would_block(provider);
                works(there).await;
            });
        }
    });
}

#[test]
fn blocking_in_a_task_of_another_runtime() {
    in_time(|| {
        let double = Double::start();
        let there = multi_thread(1);
        let providers = [
            on(&double, there.handle()),
            builder(&double).on_own_runtime().build().unwrap(),
        ];
        for provider in providers {
            for runtime in [multi_thread(1), current_thread()] {
                let provider = provider.clone();
                runtime
                    .block_on(runtime.spawn(async { works_blocking(provider) }))
                    .unwrap();
            }
        }
    });
}

#[test]
fn blocking_in_a_task_with_a_cache() {
    in_time(|| {
        let double = Double::start();
        let runtime = current_thread();
        let client = |provider| {
            let caching = Caching::new(&DataKeyCache::new(10), LONG);
            let client = Client::builder(provider).caching(caching).build();
            client.unwrap().blocking()
        };
        let refused = client(on(&double, runtime.handle()));
        let context = EncryptionContext::new();
        runtime.block_on(async {
            let error = refused.encrypt(b"text", &context).unwrap_err();
            assert!(error.to_string().contains("spawn_blocking"), "{error}");
        });
        let own = client(builder(&double).on_own_runtime().build().unwrap());
        runtime.block_on(async { own.encrypt(b"text", &context).unwrap() });
    });
}

/// Nobody drives it: the provider's own limit ends the wait.
#[test]
fn a_runtime_that_is_not_driven() {
    in_time(|| {
        let double = Double::start();
        let runtime = current_thread();
        let provider = builder(&double)
            .on_runtime(runtime.handle().clone())
            .request_timeout(Duration::from_millis(50))
            .build();
        let client = blocking::Client::new(provider.unwrap());
        let error = client.encrypt(b"text", &EncryptionContext::new());
        let Err(Error::Provider(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::TimedOut);
    });
}

#[test]
fn a_runtime_that_has_shut_down() {
    in_time(|| {
        let double = Double::start();
        let runtime = multi_thread(1);
        let provider = on(&double, runtime.handle());
        works_blocking(provider.clone());
        drop(runtime);
        let client = blocking::Client::new(provider);
        let error = client.encrypt(b"text", &EncryptionContext::new());
        assert!(error.unwrap_err().to_string().contains("shut down"));
    });
}

/// Its thread ends with the last clone, wherever that is dropped.
#[test]
fn its_own_runtime_ends_with_it() {
    in_time(|| {
        let double = Double::start();
        let provider = builder(&double).on_own_runtime().build().unwrap();
        works_blocking(provider.clone());
        current_thread().block_on(async move { drop(provider) });
    });
}

/// The request of a call that is dropped is abandoned.
#[test]
fn a_dropped_call_is_abandoned() {
    in_time(|| {
        let double = Double::start();
        let proxy = Proxy::before(&double.endpoint());
        proxy.set(Fault::Silence);
        let runtime = multi_thread(1);
        let provider = AwsKmsProvider::builder(client(&proxy.endpoint()))
            .generator(arn("one"))
            .on_runtime(runtime.handle().clone())
            .build();
        let client = Client::new(provider.unwrap());
        let context = EncryptionContext::new();
        let mut call = Box::pin(client.encrypt(b"text", &context));
        let mut polled = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut polled).is_pending());
        wait_for(|| proxy.requests() == 1);
        drop(call);
        wait_for(|| proxy.hung_up() == 1);
        proxy.set(Fault::None);
        assert!(wait(client.encrypt(b"text", &context)).is_ok());
    });
}

fn wait_for(happens: impl Fn() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < LONG, "it does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}
