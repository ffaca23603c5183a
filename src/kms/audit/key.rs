//! The key that signs checkpoints, and its public half.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::line::unhex;
use super::sink::AuditError;
use crate::crypto::{CryptoBackend, Digest, SecretBytes, SigningKey};
use crate::kms::digest::hex;
use crate::suite::Curve;

pub(super) const CURVE: Curve = Curve::P384;
const SECRET_LENGTH: usize = 48;
const PUBLIC_LENGTH: usize = 49;
pub(super) const SIGNATURE_LENGTH: usize = 103;

/// The ECDSA P-384 key that signs an audit file's checkpoints. Keep it from
/// whoever must not be able to rewrite the trail.
#[derive(Clone)]
pub struct AuditKey {
    key: Arc<dyn SigningKey>,
    backend: CryptoBackend,
}

impl AuditKey {
    /// From its secret: 48 bytes, random ones for example.
    ///
    /// # Errors
    /// With another length, and with a number that is no key of the curve
    /// (random bytes give one with a probability below 2⁻¹⁸⁰).
    pub fn new(secret: &SecretBytes) -> Result<Self, AuditError> {
        let backend = CryptoBackend::default();
        let key = backend.signing_key_from(CURVE, secret.expose());
        let key = key.map_err(|_| AuditError::Signing("a key has 48 bytes".into()))?;
        Ok(AuditKey { key, backend })
    }

    /// A new key, kept nowhere: checkpoints tell only until the process ends
    /// whether they are this key's, unless its public half is kept.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn generate() -> Result<Self, AuditError> {
        Self::new(&random()?)
    }

    /// From a file of 48 bytes that only its owner may read. Where there is no
    /// such file, a new key is made and written there.
    ///
    /// # Errors
    /// When the file cannot be read or made, others may read it, or it holds
    /// no key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, AuditError> {
        let path = path.as_ref();
        let opened = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::create(path);
            }
            opened => opened.map_err(AuditError::io(path, "opened"))?,
        };
        let mode = mode(&opened).map_err(AuditError::io(path, "read"))?;
        if mode & 0o077 != 0 {
            let problem = format!("may be read by others (mode {:o}): chmod 600", mode & 0o777);
            return Err(AuditError::file(path, problem));
        }
        let mut secret = SecretBytes::from(vec![0; SECRET_LENGTH + 1]);
        let length = read_up_to(opened, secret.expose_mut());
        let length = length.map_err(AuditError::io(path, "read"))?;
        let secret = secret.expose().get(..length).unwrap_or_default();
        Self::new(&SecretBytes::copy_from(secret))
            .map_err(|_| AuditError::file(path, "holds no key: a key has 48 bytes"))
    }

    fn create(path: &Path) -> Result<Self, AuditError> {
        let secret = random()?;
        let key = Self::new(&secret)?;
        let written = private()
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| {
                file.write_all(secret.expose())?;
                file.sync_all()
            });
        written.map_err(AuditError::io(path, "written"))?;
        Ok(key)
    }

    /// What the verifier needs to know this key's checkpoints.
    pub fn public_key(&self) -> AuditPublicKey {
        let mut point = [0; PUBLIC_LENGTH];
        let bytes = self.key.public_key();
        // The curve's length, by the type's contract.
        for (to, from) in point.iter_mut().zip(bytes) {
            *to = from;
        }
        AuditPublicKey(point)
    }

    pub(super) fn sign(&self, digest: &Digest) -> Result<Vec<u8>, AuditError> {
        self.key
            .sign(digest, &**self.backend.random())
            .map_err(|error| AuditError::Signing(error.to_string()))
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditKey").field(&self.public_key()).finish()
    }
}

fn random() -> Result<SecretBytes, AuditError> {
    SecretBytes::random(SECRET_LENGTH).map_err(|error| AuditError::Signing(error.to_string()))
}

fn read_up_to(mut file: File, out: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = out.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// For new files that only the owner may read.
pub(super) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn mode(file: &File) -> io::Result<u32> {
    Ok(std::os::unix::fs::MetadataExt::mode(&file.metadata()?))
}

#[cfg(not(unix))]
fn mode(_: &File) -> io::Result<u32> {
    Ok(0)
}

/// The public half of an [`AuditKey`]: 98 hexadecimal digits as text, a
/// compressed point of P-384.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditPublicKey(pub(super) [u8; PUBLIC_LENGTH]);

impl fmt::Display for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no [`AuditPublicKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAuditPublicKey(());

impl fmt::Display for InvalidAuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a public key is a point of P-384, compressed: 98 hexadecimal digits in lower case",
        )
    }
}

impl std::error::Error for InvalidAuditPublicKey {}

impl FromStr for AuditPublicKey {
    type Err = InvalidAuditPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidAuditPublicKey> {
        let point = unhex(text.as_bytes()).ok_or(InvalidAuditPublicKey(()))?;
        let backend = CryptoBackend::default();
        match backend.verifying_key(CURVE, &point) {
            Ok(_) => Ok(AuditPublicKey(point)),
            Err(_) => Err(InvalidAuditPublicKey(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's `cryptography`: `ec.derive_private_key(1, ec.SECP384R1())`
    /// gives the curve's base point.
    #[test]
    fn a_known_key() {
        let mut secret = vec![0; SECRET_LENGTH];
        secret[47] = 1;
        let key = AuditKey::new(&SecretBytes::from(secret)).unwrap();
        let text = key.public_key().to_string();
        assert_eq!(
            text,
            "03aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a\
             385502f25dbf55296c3a545e3872760ab7"
        );
        assert_eq!(text.parse(), Ok(key.public_key()));
        assert_eq!(format!("{key:?}"), format!("AuditKey({text})"));
        for wrong in [
            &text[1..],
            &text[2..],
            &text.to_uppercase(),
            &"0".repeat(98),
            "",
        ] {
            let error = wrong.parse::<AuditPublicKey>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "a public key is a point of P-384, compressed: 98 hexadecimal digits in lower case"
            );
        }
        for length in [0, 32, 47, 49, 96] {
            AuditKey::new(&SecretBytes::from(vec![1; length])).unwrap_err();
        }
        AuditKey::new(&SecretBytes::from(vec![0; 48])).unwrap_err();
        AuditKey::new(&SecretBytes::from(vec![0xff; 48])).unwrap_err();
    }

    #[test]
    fn kept_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let made = AuditKey::from_file(&path).unwrap().public_key();
        assert_eq!(AuditKey::from_file(&path).unwrap().public_key(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let wide = std::fs::Permissions::from_mode(0o640);
            std::fs::set_permissions(&path, wide).unwrap();
            let error = AuditKey::from_file(&path).unwrap_err().to_string();
            assert!(
                error.ends_with("may be read by others (mode 640): chmod 600"),
                "{error}"
            );
        }
        for wrong in [0, 47, 49, 100_000] {
            let path = folder.path().join(wrong.to_string());
            let mut file = private().write(true).create_new(true).open(&path).unwrap();
            file.write_all(&vec![7; wrong]).unwrap();
            let error = AuditKey::from_file(&path).unwrap_err().to_string();
            assert!(
                error.ends_with("holds no key: a key has 48 bytes"),
                "{error}"
            );
        }
    }
}
