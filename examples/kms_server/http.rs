//! Connections: how many, how long, how large, and what becomes of each request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{Pace, Paced};
use crate::protocol::ApiError;
use crate::server::{Incoming as Call, Server};

/// A request's body; AWS KMS's own limit is not published, and no request of
/// its SDKs is longer than 200 KiB.
const MAX_BODY: usize = 1024 * 1024;
/// What every connection may send at once.
const SMALL_BODY: u64 = 64 * 1024;
/// So many bodies at once may be longer.
const MAX_LARGE_BODIES: usize = 64;
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// At the end, requests may still be answered for so long.
const GRACE: Duration = Duration::from_secs(5);
const MAX_CONNECTIONS: usize = 16_384;
/// Many clients may come at once.
const BACKLOG: u32 = 4096;
/// Of the files that a process may have open, these are for others than clients.
#[cfg(unix)]
const OTHER_FILES: u64 = 256;
const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 64 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

type Answer = Response<Full<Bytes>>;

/// Binds the address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As the standard library does, so that a restart finds its port free.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` says so.
pub(crate) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let limit = connections();
    let slots = Arc::new(Semaphore::new(limit));
    let large_bodies = Arc::new(Semaphore::new(MAX_LARGE_BODIES));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(_) => {
                // No files left, for example: others are closed meanwhile.
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        // One more is refused at once, so that those that are there go on.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        // Answers are short: to wait for more of them would only be slower.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            server: Arc::clone(&server),
            large_bodies: Arc::clone(&large_bodies),
            peer: peer.ip(),
            pace: Pace::new(),
        };
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => connection.run(stream, stop).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        connection.run(stream, stop).await;
                    }
                }
            }
            drop(slot);
        });
    }
    let all = u32::try_from(limit).unwrap_or(u32::MAX);
    let _ = timeout(GRACE, slots.acquire_many(all)).await;
}

/// How many connections there may be: as many as files, if that is fewer.
fn connections() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limits.maximum,
            maximum: limits.maximum,
        };
        let files = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits.maximum,
            Err(_) => limits.current,
        };
        if let Some(files) = files {
            let room = files.saturating_sub(OTHER_FILES).max(16);
            return usize::try_from(room)
                .unwrap_or(MAX_CONNECTIONS)
                .min(MAX_CONNECTIONS);
        }
    }
    MAX_CONNECTIONS
}

#[derive(Clone)]
struct Connection {
    server: Arc<Server>,
    large_bodies: Arc<Semaphore>,
    peer: IpAddr,
    pace: Pace,
}

impl Connection {
    async fn run(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        mut stop: watch::Receiver<bool>,
    ) {
        let pace = self.pace.clone();
        let stream = TokioIo::new(Paced::new(stream, pace.clone()));
        let service = service_fn(move |request| {
            let connection = self.clone();
            async move {
                connection.pace.begin();
                let answer = connection.answer(request).await;
                connection.pace.end();
                Ok::<_, io::Error>(answer)
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            // What a client does wrong is answered or ends its connection.
            _ = connection.as_mut() => {}
            () = pace.expired() => {}
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = timeout(GRACE, connection).await;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = self.read(body).await;
        let is_whole = body.is_ok();
        let call = Call {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            peer: self.peer,
        };
        let server = Arc::clone(&self.server);
        // A task of its own: what was begun is finished and put into the audit
        // trail, whether or not the client is still there.
        let answered = tokio::spawn(async move { server.answer(call).await });
        let (id, result) = match answered.await {
            Ok(answered) => answered,
            Err(_) => (String::new(), Err(ApiError::bare("KMSInternalException"))),
        };
        let (status, body) = match result {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST),
                error.body(),
            ),
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-store, must-revalidate, private"),
        );
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, id);
        }
        if !is_whole {
            // The rest of the body may still come, and is no request.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, ApiError> {
        let too_large = || {
            ApiError::new(
                "RequestEntityTooLargeException",
                format!("A request has at most {MAX_BODY} bytes."),
            )
        };
        let hint = body.size_hint();
        if hint.lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let _large = match hint.upper() {
            Some(length) if length <= SMALL_BODY => None,
            _ => match self.large_bodies.try_acquire() {
                Ok(slot) => Some(slot),
                Err(_) => return Err(ApiError::bare("ServiceUnavailableException")),
            },
        };
        match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::new(
                "SerializationException",
                "The body of the request did not come whole.",
            )),
            Err(_) => Err(ApiError::new(
                "RequestTimeoutException",
                "The body of the request did not come in time.",
            )),
        }
    }
}
