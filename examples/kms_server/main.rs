//! `kms_server`: AWS KMS's JSON protocol over the embedded KMS, so that AWS's
//! own clients work with it; and an example of [`LocalKms`](waxseal::kms::LocalKms)
//! for several accounts.
//!
//! A request comes through [`http`] (how much and how long), [`sigv4`] (from
//! whom), [`protocol`] (what it may hold) and [`operations`] (what is done).
//! Re-encryption from one account's key to another's is refused, which AWS KMS
//! does: each account has a KMS of its own here.
//!
//! Secrets are in this process's memory, and what passes through its sockets'
//! buffers is not wiped.
#![forbid(unsafe_code)]

mod accounts;
mod args;
mod audit;
mod clock;
mod connection;
mod http;
mod operations;
mod protocol;
mod server;
mod sigv4;
mod tls;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tokio::sync::watch;

use crate::args::Args;
use crate::server::Server;

/// The command line asks for what cannot be.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut args = Args::parse();
    if let Err(error) = args.check() {
        eprintln!("error: {error}");
        return ExitCode::from(USAGE);
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let server = Arc::new(Server::new(args)?);
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(tls::acceptor(cert, key)?),
        _ => None,
    };
    let schedulers = server.start_schedulers()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let signals = ended();
        let listener = http::listen(args.listen)
            .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("no address: {error}"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Whoever started it may have closed its standard output.
        let _ = writeln!(io::stdout(), "listening on {scheme}://{address}");
        let (stop, stopped) = watch::channel(false);
        let ending = async {
            signals.await;
            let _ = stop.send(true);
        };
        tokio::join!(
            http::serve(Arc::clone(&server), listener, tls, stopped),
            ending
        );
        Ok::<_, String>(())
    })?;
    drop(schedulers);
    server.finish()
}

/// Is ready when somebody has asked the program to end.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
