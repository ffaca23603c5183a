//! Sends one request again and again over many connections, and counts the
//! answers: `load ADDRESS CONNECTIONS SECONDS FILE`. The file is the whole
//! request. Prints the answers a second; whatever is no 200 ends it.
//!
//! Without dependencies, so that `rustc -O` builds it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static ANSWERS: AtomicU64 = AtomicU64::new(0);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, connections, seconds, file] = &args[..] else {
        panic!("usage: load ADDRESS CONNECTIONS SECONDS FILE");
    };
    let request = std::fs::read(file).expect("the request");
    let seconds: f64 = seconds.parse().expect("seconds");
    let connections: usize = connections.parse().expect("connections");
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    // Some close after each answer.
                    if let Err(error) = run(address, &request) {
                        eprintln!("{error}");
                        std::process::exit(1);
                    }
                }
            });
        }
        // Caches fill first.
        thread::sleep(Duration::from_secs_f64(seconds / 4.0));
        let (start, before) = (Instant::now(), ANSWERS.load(Ordering::Relaxed));
        thread::sleep(Duration::from_secs_f64(seconds));
        let count = ANSWERS.load(Ordering::Relaxed) - before;
        println!("{:.0}", count as f64 / start.elapsed().as_secs_f64());
        STOP.store(true, Ordering::Relaxed);
    });
}

fn run(address: &str, request: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while !STOP.load(Ordering::Relaxed) {
        stream.write_all(request)?;
        let (mut length, mut closes, mut is_first) = (0, false, true);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                // Closed before the answer began: once more.
                return Ok(());
            }
            if std::mem::take(&mut is_first) && line.split(' ').nth(1) != Some("200") {
                return Err(io::Error::other(format!("not a 200: {line}")));
            }
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("content-length:") {
                length = text.trim().parse().map_err(io::Error::other)?;
            }
            closes |= header == "connection: close";
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        if closes {
            return Ok(());
        }
    }
    Ok(())
}
