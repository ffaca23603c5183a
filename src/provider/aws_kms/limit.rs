//! A limit on how much of an answer is read: the SDK reads all there is.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_sdk_kms::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kms::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body::{Body, Frame, SizeHint};

/// Several times what the longest answer takes.
const LONGEST: u64 = 64 * 1024;

/// The answer is longer than any of the service's.
#[derive(Debug)]
pub(super) struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer is longer than {LONGEST} bytes")
    }
}

impl std::error::Error for TooLong {}

#[derive(Debug)]
pub(super) struct LimitAnswers;

impl Intercept for LimitAnswers {
    fn name(&self) -> &'static str {
        "LimitAnswers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let inner = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited {
            inner,
            left: LONGEST,
        });
        Ok(())
    }
}

struct Limited {
    inner: SdkBody,
    left: u64,
}

impl Body for Limited {
    type Data = <SdkBody as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(TooLong.into()))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.inner)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_it() {
        let text = "the answer is longer than 65536 bytes";
        assert_eq!(TooLong.to_string(), text);
    }
}
