//! Messages of gRPC in the body of a request: a flag, a length, and so many bytes.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use vertebra_model::error::Code;
use vertebra_model::grpc::Status;

/// A flag and a length.
const HEAD_BYTES: usize = 5;

/// The messages of a body, one after the other.
pub struct Messages {
    body: Incoming,
    read: BytesMut,
    bytes_max: usize,
}

/// Why there is no further message.
pub enum Ended {
    /// The caller has said all.
    Well,
    /// The caller is gone.
    Gone,
    /// What it sends is none, in the words of grpc-go.
    Wrong(Status),
}

impl Messages {
    pub fn new(body: Incoming, bytes_max: usize) -> Self {
        Self { body, read: BytesMut::new(), bytes_max }
    }

    /// The next one.
    pub async fn next(&mut self) -> Result<Bytes, Ended> {
        loop {
            if let Some(message) = take(&mut self.read, self.bytes_max).map_err(Ended::Wrong)? {
                return Ok(message);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return Err(Ended::Gone),
                None if self.read.is_empty() => return Err(Ended::Well),
                None => return Err(Ended::Wrong(Status::new(Code::Internal, "unexpected EOF"))),
            }
        }
    }
}

/// Takes the first message out of what was read, when it is there as a whole.
fn take(read: &mut BytesMut, bytes_max: usize) -> Result<Option<Bytes>, Status> {
    let Some((head, _)) = read.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [flag, length @ ..] = *head;
    let length = u32::from_be_bytes(length) as usize;
    if flag > 1 {
        let text = format!("grpc: received unexpected payload format {flag}");
        return Err(Status::new(Code::Internal, text));
    }
    if flag == 1 {
        let text = "grpc: compressed flag set with identity or empty encoding";
        return Err(Status::new(Code::Internal, text));
    }
    if length > bytes_max {
        let text = format!("grpc: received message larger than max ({length} vs. {bytes_max})");
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    if read.len() < HEAD_BYTES + length {
        return Ok(None);
    }
    read.advance(HEAD_BYTES);
    Ok(Some(read.split_to(length).freeze()))
}

/// A message as it stands in a body.
pub fn framed(message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + message.len());
    frame.extend_from_slice(&[0]);
    // A member sends no message near this size.
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let messages = [Bytes::from_static(b"one"), Bytes::new(), Bytes::from(vec![7; 300])];
        let whole: Vec<u8> = messages.iter().flat_map(framed).collect();
        for cut in 0..whole.len() {
            let (mut read, mut found) = (BytesMut::new(), Vec::new());
            for part in [&whole[..cut], &whole[cut..]] {
                read.extend_from_slice(part);
                while let Some(message) = take(&mut read, 1_000).expect("messages") {
                    found.push(message);
                }
            }
            assert_eq!(found, messages);
            assert!(read.is_empty());
        }
    }

    #[test]
    fn what_is_no_message_is_refused_as_grpc_go_does() {
        let refused = |bytes: &[u8]| take(&mut BytesMut::from(bytes), 10).unwrap_err().to_string();
        assert_eq!(
            refused(&[0, 0, 0, 0, 11]),
            "ResourceExhausted: grpc: received message larger than max (11 vs. 10)"
        );
        assert_eq!(
            refused(&[1, 0, 0, 0, 1, 7]),
            "Internal: grpc: compressed flag set with identity or empty encoding"
        );
        assert_eq!(refused(&[9, 0, 0, 0, 1]), "Internal: grpc: received unexpected payload format 9");
    }
}
