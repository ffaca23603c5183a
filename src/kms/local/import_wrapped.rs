//! Imported material that comes wrapped under RSA, as AWS KMS has it.

use std::time::{Duration, SystemTime};

use super::gate::Call;
use super::import::{ImportOptions, parameters_name};
use super::{Inner, LocalKms, MAX_ATTEMPTS};
use crate::crypto::{
    SecretBytes, WrappingAlgorithm, WrappingKeyPair, WrappingKeySpec, constant_time_eq,
};
use crate::kms::codec::{Codec, Reader, Writer};
use crate::kms::error::{KmsError, KmsResult, RecordProblem};
use crate::kms::state::Operation;
use crate::kms::time::Timestamp;

const TOKEN_LENGTH: usize = 32;
const VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an import of wrapped material needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportParameters {
    /// The ARN of the key that the material is for.
    pub key_arn: String,
    /// The RSA key to wrap the material under: DER, SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// To be handed over with the wrapped material.
    pub import_token: Vec<u8>,
    /// Until when both can be used: for 24 hours.
    pub valid_until: SystemTime,
}

/// What the KMS keeps of them: the private key, until it is due.
struct Parameters {
    token: [u8; TOKEN_LENGTH],
    private_key: SecretBytes,
    /// AWS KMS's name.
    algorithm: String,
    valid_until: Timestamp,
}

impl Codec<'_> for Parameters {
    fn write(&self, writer: &mut Writer) {
        writer.array(&self.token);
        writer.bytes(self.private_key.expose());
        writer.text(&self.algorithm);
        self.valid_until.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Parameters {
            token: reader.array()?,
            private_key: reader.secret()?,
            algorithm: reader.string()?,
            valid_until: Timestamp::read(reader)?,
        })
    }
}

impl LocalKms {
    /// Makes an RSA key to wrap material under, and a token that goes with it
    /// (AWS KMS: `GetParametersForImport`). Both are for this key alone, for 24
    /// hours or until they are asked for again.
    ///
    /// Making an RSA key takes up to a second of computing on this thread.
    ///
    /// # Errors
    /// [`KmsError::NotFound`], [`KmsError::InvalidState`];
    /// [`KmsError::Unsupported`] for a key whose material is the KMS's own; the
    /// store's errors.
    pub async fn get_parameters_for_import(
        &self,
        key: &str,
        algorithm: WrappingAlgorithm,
        spec: WrappingKeySpec,
    ) -> KmsResult<ImportParameters> {
        let call = self.call(Operation::GetParametersForImport, key);
        self.0
            .pass(call, self.0.new_parameters(call, algorithm, spec))
            .await
    }

    /// Imports material of 32 bytes that was wrapped under what
    /// [`get_parameters_for_import`](Self::get_parameters_for_import) gave.
    ///
    /// # Errors
    /// [`KmsError::InvalidImportToken`], [`KmsError::ExpiredImportToken`];
    /// [`KmsError::InvalidCiphertext`] if it does not unwrap; else as
    /// [`import_key_material`](Self::import_key_material).
    pub async fn import_wrapped_key_material(
        &self,
        key: &str,
        import_token: &[u8],
        wrapped: &[u8],
        options: ImportOptions,
    ) -> KmsResult<()> {
        let call = self.call(Operation::ImportKeyMaterial, key);
        let unwrapped = self.0.unwrap_material(call, import_token, wrapped).await;
        match unwrapped {
            Ok((id, material)) => self.import_key_material(&id, &material, options).await,
            Err(error) => self.0.settle(call, Err(error)).await,
        }
    }
}

impl Inner {
    async fn new_parameters(
        &self,
        call: Call<'_>,
        algorithm: WrappingAlgorithm,
        spec: WrappingKeySpec,
    ) -> KmsResult<ImportParameters> {
        let named = self.admit_key(call, |record, _, now| {
            (record.id.clone(), record.arn.clone(), now)
        });
        let (id, key_arn, now) = named.await?;
        let pair = WrappingKeyPair::generate(spec)?;
        let mut token = [0; TOKEN_LENGTH];
        self.backend.random().fill(&mut token)?;
        let valid_until = now.plus(VALIDITY);
        let parameters = Parameters {
            token,
            private_key: pair
                .private_key()
                .map_err(|_| KmsError::invalid("the RSA key that was made cannot be encoded"))?,
            algorithm: algorithm.name().to_owned(),
            valid_until,
        };
        let name = parameters_name(&id);
        for _ in 0..MAX_ATTEMPTS {
            let stamp = match self.vault.read::<Parameters>(&name).await {
                Ok(stored) => stored.map(|stored| stored.stamp),
                Err(KmsError::Record { .. }) => {
                    // Nobody can use it any more.
                    self.vault.remove(&name).await?;
                    None
                }
                Err(error) => return Err(error),
            };
            match self.vault.write(&name, &parameters, stamp.as_ref()).await {
                Ok(_) => {
                    return Ok(ImportParameters {
                        key_arn,
                        public_key: pair.public_key_der().to_vec(),
                        import_token: token.to_vec(),
                        valid_until: valid_until.into(),
                    });
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            }
        }
        Err(KmsError::busy(&name, MAX_ATTEMPTS))
    }

    /// Deletes the private keys that can no longer be used.
    pub(super) async fn delete_expired_parameters(
        &self,
        failed: &mut Vec<KmsError>,
    ) -> KmsResult<()> {
        for name in &self.vault.names("imports/").await? {
            let done = async {
                let Some(stored) = self.vault.read::<Parameters>(name).await? else {
                    return Ok(());
                };
                if stored.value.valid_until > self.now() {
                    return Ok(());
                }
                match self.vault.delete(name, &stored.stamp).await {
                    // Somebody asked for new ones just now.
                    Err(error) if error.is_conflict() => Ok(()),
                    deleted => deleted,
                }
            };
            if let Err(error) = done.await {
                failed.push(error);
            }
        }
        Ok(())
    }

    /// The id of the key that the material is for, and the material.
    async fn unwrap_material(
        &self,
        call: Call<'_>,
        import_token: &[u8],
        wrapped: &[u8],
    ) -> KmsResult<(String, SecretBytes)> {
        let named = self.admit_key(call, |record, _, now| {
            (record.id.clone(), record.arn.clone(), now)
        });
        let (id, key, now) = named.await?;
        let name = parameters_name(&id);
        let stored = self.vault.read::<Parameters>(&name).await?;
        let parameters = stored.map(|stored| stored.value);
        let parameters = parameters
            .filter(|parameters| constant_time_eq(&parameters.token, import_token))
            .ok_or_else(|| KmsError::InvalidImportToken { key: key.clone() })?;
        if parameters.valid_until <= now {
            return Err(KmsError::ExpiredImportToken { key });
        }
        let damaged = || KmsError::record(&name, RecordProblem::Damaged);
        let algorithm: WrappingAlgorithm = parameters.algorithm.parse().map_err(|_| damaged())?;
        let pair = WrappingKeyPair::from_private_key(&parameters.private_key);
        let material = pair
            .map_err(|_| damaged())?
            .unwrap(algorithm, wrapped)
            .map_err(|_| KmsError::InvalidCiphertext)?;
        Ok((id, material))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::codec::tests::assert_stored;

    #[test]
    fn parameters_at_rest() {
        let parameters = Parameters {
            token: [7; TOKEN_LENGTH],
            private_key: SecretBytes::from(vec![0xff; 200]),
            algorithm: "RSAES_OAEP_SHA_256".to_owned(),
            valid_until: Timestamp::FIRST.plus(Duration::from_millis(1)),
        };
        assert_stored(
            &parameters,
            &[
                &[7; 32],
                b"\xc8\x01",
                &[0xff; 200],
                b"\x12RSAES_OAEP_SHA_256",
                b"\x01",
            ],
        );
    }
}
