//! A proxy that makes faults.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http::Message;
use crate::server::Server;

/// What a [`Proxy`] does to requests.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Passes them on.
    #[default]
    None,
    /// Listens no more, and closes the connections that there are.
    Refuse,
    /// Reads the request, and resets the connection.
    ResetBeforeAnswer,
    /// Resets the connection in the middle of the answer's body.
    ResetInBody,
    /// Closes it there, as a peer that has gone.
    EndInBody,
    /// Sends a byte of an endless head now and then.
    SlowHeaders,
    /// Sends a body without an end, as fast as it is read.
    EndlessBody,
    /// Reads the request, and says nothing.
    Silence,
    /// Answers itself.
    Answer {
        /// The status.
        status: u16,
        /// The headers, without the length.
        headers: Vec<(&'static str, &'static str)>,
        /// The body.
        body: &'static str,
    },
    /// Passes on, and changes these in the answer.
    Rewrite {
        /// What is looked for in the body.
        from: String,
        /// What it becomes, of whatever length.
        to: String,
    },
}

/// A proxy before a service, which ends when this is dropped.
pub struct Proxy {
    server: Server,
    plan: watch::Sender<Plan>,
    requests: Arc<AtomicU64>,
    last: Arc<Mutex<String>>,
    hung_up: Arc<AtomicU64>,
}

#[derive(Clone, Debug, Default)]
struct Plan {
    fault: Fault,
    /// How many requests it is for; `None` for all.
    times: Option<u64>,
    /// Whether it is for every other request only.
    alternates: bool,
    passes_next: bool,
}

impl Proxy {
    /// Before the service at this address (`http://HOST:PORT`).
    pub fn before(endpoint: &str) -> Self {
        let upstream = endpoint.trim_start_matches("http://").trim_end_matches('/');
        let upstream = upstream.to_owned();
        let (plan, planned) = watch::channel(Plan::default());
        let requests = Arc::new(AtomicU64::new(0));
        let last = Arc::<Mutex<String>>::default();
        let hung_up = Arc::new(AtomicU64::new(0));
        let (counted, kept, taken) = (requests.clone(), last.clone(), plan.clone());
        let hangs_up = hung_up.clone();
        let server = Server::start(move |listener| {
            let state = State {
                upstream,
                plan: taken,
                requests: counted,
                last: kept,
                hung_up: hangs_up,
            };
            serve(listener, Arc::new(state), planned)
        });
        Proxy {
            server,
            plan,
            requests,
            last,
            hung_up,
        }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Does this to all requests from now on.
    pub fn set(&self, fault: Fault) {
        let refuses = matches!(fault, Fault::Refuse);
        self.plan.send_replace(Plan {
            fault,
            ..Plan::default()
        });
        self.wait_until(refuses);
    }

    /// Does this to so many requests, and passes on those after them.
    pub fn set_for(&self, times: u64, fault: Fault) {
        let times = Some(times);
        self.plan.send_replace(Plan {
            fault,
            times,
            ..Plan::default()
        });
        self.wait_until(false);
    }

    /// Does this to the next request and to every other from then on.
    pub fn set_alternating(&self, fault: Fault) {
        self.plan.send_replace(Plan {
            fault,
            alternates: true,
            ..Plan::default()
        });
        self.wait_until(false);
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many callers have given up on a [silence](Fault::Silence).
    pub fn hung_up(&self) -> u64 {
        self.hung_up.load(Ordering::Relaxed)
    }

    /// The body of the last request.
    pub fn last_request(&self) -> String {
        self.last.lock().expect("no panic").clone()
    }

    fn wait_until(&self, refuses: bool) {
        let started = Instant::now();
        while std::net::TcpStream::connect(self.server.address).is_err() != refuses {
            assert!(started.elapsed() < Duration::from_secs(30), "the proxy");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

struct State {
    upstream: String,
    plan: watch::Sender<Plan>,
    requests: Arc<AtomicU64>,
    last: Arc<Mutex<String>>,
    hung_up: Arc<AtomicU64>,
}

impl State {
    /// What to do to this request.
    fn next(&self, request: &Message) -> Fault {
        *self.last.lock().expect("no panic") = String::from_utf8_lossy(&request.body).into_owned();
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut fault = Fault::None;
        self.plan.send_modify(|plan| {
            let passes = plan.times == Some(0) || plan.passes_next;
            if let Some(times) = &mut plan.times {
                *times = times.saturating_sub(1);
            }
            plan.passes_next = plan.alternates && !plan.passes_next;
            if !passes {
                fault = plan.fault.clone();
            }
        });
        fault
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, mut planned: watch::Receiver<Plan>) {
    let address = listener.local_addr().expect("an address");
    let refuses = |plan: &Plan| matches!(plan.fault, Fault::Refuse);
    let (mut listener, watching) = (Some(listener), planned.clone());
    loop {
        let Some(open) = &listener else {
            if planned.wait_for(|plan| !refuses(plan)).await.is_err() {
                return;
            }
            listener = rebind(address).await;
            continue;
        };
        tokio::select! {
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                let (state, mut planned) = (state.clone(), watching.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = connection(stream, state) => {}
                        _ = planned.wait_for(refuses) => {}
                    }
                });
            },
            stopped = planned.wait_for(refuses) => {
                if stopped.is_err() {
                    return;
                }
                drop(stopped);
                listener = None;
            }
        }
    }
}

async fn rebind(address: SocketAddr) -> Option<TcpListener> {
    for _ in 0..1000 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return Some(listener);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the proxy's port is taken");
}

async fn connection(mut client: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut upstream = None;
    while let Some(request) = Message::read(&mut client).await? {
        match state.next(&request) {
            Fault::None | Fault::Refuse => {
                let answer = ask(&mut upstream, &state, &request).await?;
                client.write_all(&answer.bytes()).await?;
            }
            Fault::ResetBeforeAnswer => return client.set_zero_linger(),
            fault @ (Fault::ResetInBody | Fault::EndInBody) => {
                let answer = ask(&mut upstream, &state, &request).await?.bytes();
                client.write_all(&answer[..answer.len() - 20]).await?;
                client.flush().await?;
                if matches!(fault, Fault::ResetInBody) {
                    // A reset overtakes what has not been read yet.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    client.set_zero_linger()?;
                }
                return Ok(());
            }
            Fault::SlowHeaders => {
                client.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
                loop {
                    client.write_all(b"x").await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Fault::EndlessBody => {
                client
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await?;
                let chunk = [b"1000\r\n", [b' '; 4096].as_slice(), b"\r\n"].concat();
                loop {
                    client.write_all(&chunk).await?;
                }
            }
            Fault::Silence => {
                let result = client.read_u8().await;
                state.hung_up.fetch_add(1, Ordering::Relaxed);
                result?;
            }
            Fault::Answer {
                status,
                headers,
                body,
            } => {
                let answer = Message::answer(status, &headers, body.as_bytes());
                client.write_all(&answer.bytes()).await?;
            }
            Fault::Rewrite { from, to } => {
                let answer = ask(&mut upstream, &state, &request).await?;
                let body = String::from_utf8_lossy(&answer.body).replace(&from, &to);
                let id = answer.header("x-amzn-requestid").unwrap_or_default();
                let headers = [("x-amzn-requestid", id)];
                let answer = Message::answer(200, &headers, body.as_bytes());
                client.write_all(&answer.bytes()).await?;
            }
        }
    }
    Ok(())
}

async fn ask(
    upstream: &mut Option<TcpStream>,
    state: &State,
    request: &Message,
) -> std::io::Result<Message> {
    let stream = match upstream {
        Some(stream) => stream,
        None => upstream.insert(TcpStream::connect(&state.upstream).await?),
    };
    stream.write_all(&request.bytes()).await?;
    let answer = Message::read(stream).await?;
    answer.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
