//! Messages made and opened within one vector, without a second one.

use zeroize::Zeroize;

use super::{Client, DecryptionDetails, PreparedEncryption};
use crate::context::EncryptionContext;
use crate::error::{Error, Result};

impl Client {
    /// Encrypts what the buffer holds into one message, in the buffer. It
    /// grows once, by the message's overhead, and not at all where it has
    /// [room for the message](PreparedEncryption::message_length) already.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt). After one of getting a data key the
    /// buffer holds the plaintext; after another it is wiped and empty.
    pub async fn encrypt_in_place(
        &self,
        buffer: &mut Vec<u8>,
        context: &EncryptionContext,
    ) -> Result<()> {
        self.prepare(context, Some(buffer.len() as u64))
            .await?
            .encrypt_in_place(buffer)
    }

    /// Decrypts the message that the buffer holds, in the buffer: it holds the
    /// plaintext then.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt). After one of the header, or of getting
    /// the data key, the buffer holds the message; after one of the body it is
    /// wiped and empty.
    pub async fn decrypt_in_place(
        &self,
        buffer: &mut Vec<u8>,
        context: &EncryptionContext,
    ) -> Result<DecryptionDetails> {
        let header = self.read_header(buffer)?;
        let obtained = self.decryption_materials(&header, context).await?;
        let (mut opener, _) = self.start_whole(buffer, &header, &obtained.materials)?;
        match opener.open_in_place(buffer, header.length) {
            Ok(length) => {
                // Of the plaintext, too: each frame was opened where it stood.
                buffer[length..].zeroize();
                buffer.truncate(length);
                Ok(DecryptionDetails::new(header, obtained))
            }
            Err(error) => {
                empty(buffer);
                Err(error)
            }
        }
    }
}

impl PreparedEncryption {
    /// Encrypts what the buffer holds into one message, in the buffer.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt); the buffer is wiped and empty then.
    pub fn encrypt_in_place(self, buffer: &mut Vec<u8>) -> Result<()> {
        let encrypted = self.check(buffer).and_then(|length| {
            let length = usize::try_from(length).map_err(|_| Error::TooManyFrames)?;
            self.sealer.in_place(&self.header, buffer, length)
        });
        if encrypted.is_err() {
            empty(buffer);
        }
        encrypted
    }
}

fn empty(buffer: &mut Vec<u8>) {
    buffer.as_mut_slice().zeroize();
    buffer.clear();
}
