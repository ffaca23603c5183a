//! What a signature costs: suite 0x0578 against 0x0478 and the bare P-384 and
//! SHA-384, at 16 bytes and 1 MiB. There is no goal; it shows what signing asks
//! for, and that the library adds little to it.

use p384::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha384};
use waxseal::{EncryptionContext, blocking::Client};
use waxseal_bench::{Contender, Measured, Session, bare};

fn main() {
    let mut session = Session::from_args();
    for (name, length) in [("16 bytes", 16), ("1 MiB", 1 << 20)] {
        let case = Case::new(length);
        let mut out = vec![0; case.signed_message.len()];

        let name_of = |operation| format!("{operation}/{name}/signed");
        run(
            &mut session,
            &name_of("encrypt"),
            &mut out,
            [
                &|out| {
                    case.encrypt(&case.unsigned, out);
                    case.sign();
                },
                &|out| case.encrypt(&case.signed, out),
                &|out| case.encrypt(&case.unsigned, out),
                &|_| case.sign(),
            ],
        );
        run(
            &mut session,
            &name_of("decrypt"),
            &mut out,
            [
                &|out| {
                    case.decrypt(&case.unsigned, &case.unsigned_message, out);
                    case.verify();
                },
                &|out| case.decrypt(&case.signed, &case.signed_message, out),
                &|out| case.decrypt(&case.unsigned, &case.unsigned_message, out),
                &|_| case.verify(),
            ],
        );
    }
    session.finish();
}

struct Case {
    signed: Client,
    unsigned: Client,
    context: EncryptionContext,
    plaintext: Vec<u8>,
    signed_message: Vec<u8>,
    unsigned_message: Vec<u8>,
    public_key: Vec<u8>,
    signature: Signature,
}

impl Case {
    fn new(length: usize) -> Self {
        let (signed, unsigned) = (bare::client(4096, true), bare::client(4096, false));
        let (signed, unsigned) = (signed.blocking(), unsigned.blocking());
        let context = EncryptionContext::from([("tenant", "7"), ("purpose", "backup")]);
        let plaintext = vec![0x5a; length];
        let encrypt = |client: &Client| client.encrypt(&plaintext, &context).expect("encrypts");
        let signed_message = encrypt(&signed);
        let unsigned_message = encrypt(&unsigned);
        let (public_key, signature) = sign(&signed_message);
        Case {
            signed,
            unsigned,
            context,
            plaintext,
            signed_message,
            unsigned_message,
            public_key,
            signature,
        }
    }

    fn encrypt(&self, client: &Client, out: &mut [u8]) {
        client
            .encrypt_into(&self.plaintext, &self.context, out)
            .expect("encrypts");
    }

    fn decrypt(&self, client: &Client, message: &[u8], out: &mut [u8]) {
        client
            .decrypt_into(message, &self.context, out)
            .expect("decrypts");
    }

    fn sign(&self) {
        std::hint::black_box(sign(&self.signed_message));
    }

    /// What a reader does: the public key from its compressed point, the hash
    /// of the whole message, and the verification.
    fn verify(&self) {
        let digest = Sha384::digest(&self.signed_message);
        VerifyingKey::from_sec1_bytes(&self.public_key)
            .and_then(|key| key.verify_prehash(&digest, &self.signature))
            .expect("verifies");
    }
}

/// What a writer does: a new key with its public key as a compressed point,
/// the hash of the whole message, and the signature.
fn sign(message: &[u8]) -> (Vec<u8>, Signature) {
    let mut secret = [0; 48];
    getrandom::fill(&mut secret).expect("random");
    let key = SigningKey::from_slice(&secret).expect("below the curve's order");
    let public_key = key.verifying_key().to_sec1_point(true).as_bytes().to_vec();
    let signature = key.sign_prehash(&Sha384::digest(message)).expect("signs");
    (public_key, signature)
}

type Run<'a> = &'a dyn Fn(&mut [u8]);

fn run(session: &mut Session, name: &str, out: &mut Vec<u8>, all: [Run<'_>; 4]) {
    let [both, signed, unsigned, signature] = all;
    let mut contenders = [
        Contender::new("0x0478 and bare signature", |out: &mut Vec<u8>| both(out)),
        Contender::new("0x0578", |out: &mut Vec<u8>| signed(out)),
        Contender::new("0x0478", |out: &mut Vec<u8>| unsigned(out)),
        Contender::new("bare signature", |out: &mut Vec<u8>| signature(out)),
    ];
    if let Some(measured) = session.measure(name, out, &mut contenders) {
        print(name, &measured);
    }
    session.register(name, out, &mut contenders[1..]);
}

fn print(name: &str, measured: &Measured) {
    let microseconds = |contender| measured.time(contender) / 1e3;
    println!(
        "{name:24} 0x0578 {:8.1} µs, 0x0478 {:7.1} µs, bare P-384 and SHA-384 {:8.1} µs; 0x0578 to \
         the sum of the other two {}",
        microseconds(1),
        microseconds(2),
        microseconds(3),
        measured.ratio(1, 0)
    );
}
