//! Over TLS. `tests/vectors/tls` holds a certificate for 127.0.0.1 and its key,
//! made for these tests alone.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{connect, read_answer};
use crate::server::{ROOT, Server};

fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/vectors/tls").join(name)
}

#[test]
fn requests_over_tls() {
    let [cert, key] = ["cert.pem", "key.pem"].map(file);
    let [cert, key] = [&cert, &key].map(|file| file.to_str().unwrap());
    // Any address may be listened on then.
    let server = Server::with(["--tls-cert", cert, "--tls-key", key]);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(server.address.ip());
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, connect(server.address));
    let client = server.client(ROOT);
    for _ in 0..2 {
        let request = client.request("ListKeys", "{}").sign();
        stream.write_all(&request.bytes()).unwrap();
        let answer = read_answer(&mut stream).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    // Without TLS there is no answer, and it goes on.
    let mut plain = connect(server.address);
    plain
        .write_all(&client.request("ListKeys", "{}").sign().bytes())
        .unwrap();
    assert!(read_plain(&mut plain).is_none());
    stream
        .write_all(&client.request("ListKeys", "{}").sign().bytes())
        .unwrap();
    assert_eq!(read_answer(&mut stream).unwrap().status, 200);
}

/// An answer in the clear, if there is one.
fn read_plain(stream: &mut std::net::TcpStream) -> Option<String> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.starts_with("HTTP/").then_some(text)
}
