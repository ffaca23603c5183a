//! The footer of signed messages (data-format/message-footer.md).

use super::codec::{Incomplete, Reader};

/// Bytes of a footer beside the signature.
pub(crate) const FOOTER_OVERHEAD: usize = 2;

/// Appends the footer. A DER signature of the curves used is far below 65,536
/// bytes.
pub(crate) fn write_footer(signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FOOTER_OVERHEAD + signature.len());
    out.extend_from_slice(&(signature.len() as u16).to_be_bytes());
    out.extend_from_slice(signature);
    out
}

/// Reads the signature: of the length that the footer names, as writers
/// differ.
pub(crate) fn read_footer<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Incomplete> {
    reader.u16_prefixed()
}
