//! What some callers send as `:authority`, made what HTTP/2 takes for one.
//!
//! etcd's own client, when it speaks to one endpoint for itself (`etcdctl endpoint status`, `defrag`, `move-leader`), names there what
//! it was told of: `http://127.0.0.1:2379`. grpc-go takes any text; the parser below hyper takes an authority, and else resets the
//! stream. So the scheme is cut off before it reads.
//!
//! Heads are compressed with a table of what was sent before, which need not be known here: only a value that stands there in full, under
//! the name with the number of `:authority`, is looked at. One that is shorter than the sender knows does no harm: entries of the
//! table are counted from the newest one, and the oldest are only forgotten later.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use httlib_huffman::DecoderSpeed;
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::PREFACE;

/// Length, kind, flags and stream of a frame.
const FRAME_HEAD_BYTES: usize = 9;

/// Bytes of a frame at most, since nobody is told that there may be more.
const FRAME_BYTES_MAX: usize = 16 << 10;

/// The kind of a frame with which a request begins, and its flags.
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The number of the name `:authority`.
const AUTHORITY: usize = 1;

/// How much is read at a time.
const READ_BYTES: usize = 8 << 10;

/// A connection whose requests are read in this way.
pub struct Authorities<S> {
    stream: S,
    at: At,
    /// What was read and not looked at.
    raw: BytesMut,
    /// What can be handed on.
    ready: BytesMut,
}

/// What is read next.
enum At {
    Preface,
    Frame,
    /// So many bytes of which nothing need be known.
    Payload(usize),
    /// It is not HTTP/2.
    Plain,
}

impl<S> Authorities<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, at: At::Preface, raw: BytesMut::new(), ready: BytesMut::new() }
    }

    fn pass(&mut self, bytes: usize) {
        self.ready.extend_from_slice(&self.raw[..bytes]);
        self.raw.advance(bytes);
    }

    /// Hands on what can be.
    fn look(&mut self) {
        while !self.raw.is_empty() {
            match self.at {
                At::Plain => self.pass(self.raw.len()),
                At::Preface => {
                    let length = self.raw.len().min(PREFACE.len());
                    if self.raw[..length] != PREFACE[..length] {
                        self.at = At::Plain;
                    } else if length == PREFACE.len() {
                        self.pass(length);
                        self.at = At::Frame;
                    } else {
                        return;
                    }
                }
                At::Payload(left) => {
                    let length = self.raw.len().min(left);
                    self.pass(length);
                    self.at = if length == left { At::Frame } else { At::Payload(left - length) };
                }
                At::Frame => {
                    let Some((head, _)) = self.raw.split_first_chunk::<FRAME_HEAD_BYTES>() else { return };
                    let [high, middle, low, kind, flags, ..] = *head;
                    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
                    let is_head = kind == HEADERS && flags & END_HEADERS != 0 && length <= FRAME_BYTES_MAX;
                    let whole = FRAME_HEAD_BYTES + length;
                    if !is_head {
                        self.pass(FRAME_HEAD_BYTES);
                        self.at = At::Payload(length);
                    } else if self.raw.len() < whole {
                        return;
                    } else if let Some(changed) = changed(&self.raw[..whole]) {
                        self.ready.extend_from_slice(&changed);
                        self.raw.advance(whole);
                    } else {
                        self.pass(whole);
                    }
                }
            }
        }
    }
}

/// The frame with another authority in it, if it needs one.
fn changed(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, mut payload) = frame.split_at(FRAME_HEAD_BYTES);
    let flags = head[4];
    if flags & PADDED != 0 {
        let (padding, rest) = payload.split_first()?;
        payload = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    }
    let (priority, block) = payload.split_at_checked(if flags & PRIORITY != 0 { 5 } else { 0 })?;
    let (place, authority) = url_as_authority(block)?;
    // Authorities are not that long: what no byte can count is left to the parser to refuse.
    let length = u8::try_from(authority.len()).ok().filter(|length| *length < 0x7f)?;
    let block = [&block[..place.start], &[length], authority.as_bytes(), &block[place.end..]].concat();
    let length = u32::try_from(priority.len() + block.len()).ok()?.to_be_bytes();
    Some([&length[1..], &[head[3], flags & !PADDED], &head[5..], priority, &block].concat())
}

/// Where in a block of headers a URL stands as authority, and what of it is one.
fn url_as_authority(block: &[u8]) -> Option<(Range<usize>, String)> {
    let mut rest = block;
    while let Some(first) = rest.first() {
        // A field of the table; one that comes into it; a new size of it; one that does not come into it.
        let (prefix_bits, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let name = integer(&mut rest, prefix_bits)?;
        if !is_literal {
            continue;
        }
        if name == 0 {
            text(&mut rest)?;
        }
        let begin = block.len() - rest.len();
        let value = text(&mut rest)?;
        if name == AUTHORITY {
            return Some((begin..block.len() - rest.len(), authority_of(value)?));
        }
    }
    None
}

/// The authority in a URL; nothing if there is none, or no more than one.
fn authority_of((is_compressed, bytes): (bool, &[u8])) -> Option<String> {
    let mut plain = Vec::new();
    if is_compressed {
        httlib_huffman::decode(bytes, &mut plain, DecoderSpeed::FourBits).ok()?;
    } else {
        plain.extend_from_slice(bytes);
    }
    let url = String::from_utf8(plain).ok()?;
    let authority = url.split_once("://")?.1.split('/').next()?;
    Authority::try_from(authority).ok().map(|_| authority.to_owned())
}

/// A number whose first bits are the last ones of a byte.
fn integer(rest: &mut &[u8], prefix_bits: u8) -> Option<usize> {
    let most = (1_u8 << prefix_bits) - 1;
    let first = take_byte(rest)? & most;
    let mut number = usize::from(first);
    if first < most {
        return Some(number);
    }
    for shift in [0, 7, 14, 21] {
        let byte = take_byte(rest)?;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A string, and whether it is compressed.
fn text<'a>(rest: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let is_compressed = rest.first()? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((is_compressed, bytes))
}

fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

impl<S: AsyncRead + Unpin> AsyncRead for Authorities<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.get_mut();
        while read.ready.is_empty() {
            let mut space = [0; READ_BYTES];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut read.stream).poll_read(context, &mut space))?;
            if space.filled().is_empty() {
                // The rest of it is half a frame.
                read.pass(read.raw.len());
                break;
            }
            read.raw.extend_from_slice(space.filled());
            read.look();
        }
        let length = into.remaining().min(read.ready.len());
        into.put_slice(&read.ready[..length]);
        read.ready.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Authorities<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of headers: the method, an authority, a path of the table.
    fn frame(authority: &[u8], is_compressed: bool, flags: u8) -> Vec<u8> {
        let mut value = authority.to_vec();
        if is_compressed {
            value.clear();
            httlib_huffman::encode(authority, &mut value).expect("it can be compressed");
        }
        let mark = if is_compressed { 0x80 } else { 0 };
        let block = [&[0x83, 0x41, mark | value.len() as u8][..], &value, &[0x84, 0xbe]].concat();
        let mut payload = match flags & PRIORITY {
            0 => block,
            _ => [&[0, 0, 0, 0, 15][..], &block].concat(),
        };
        if flags & PADDED != 0 {
            payload = [&[3][..], &payload, &[0; 3]].concat();
        }
        [&[0, 0, payload.len() as u8, HEADERS, flags | END_HEADERS, 0, 0, 0, 1][..], &payload].concat()
    }

    fn handed_on(sent: &[u8], part_bytes: usize) -> Vec<u8> {
        let mut read = Authorities::new(());
        for part in sent.chunks(part_bytes) {
            read.raw.extend_from_slice(part);
            read.look();
        }
        read.ready.to_vec()
    }

    #[test]
    fn a_url_becomes_an_authority_however_it_is_sent() {
        let (url, authority) = (b"http://127.0.0.1:2379/", b"127.0.0.1:2379");
        let data = [0, 0, 2, 0, 1, 0, 0, 0, 1, 7, 7];
        for (is_compressed, flags) in [(true, 0), (false, 0), (true, PADDED), (true, PADDED | PRIORITY)] {
            let sent = [PREFACE, &data, &frame(url, is_compressed, flags), &data].concat();
            let meant = [PREFACE, &data, &frame(authority, false, flags & !PADDED), &data].concat();
            for part_bytes in [1, 7, 1_000] {
                assert_eq!(handed_on(&sent, part_bytes), meant, "{is_compressed}, {flags}, {part_bytes}");
            }
        }
    }

    #[test]
    fn whatever_else_is_sent_is_handed_on_as_it_is() {
        let authorities: [&[u8]; 4] = [b"localhost:2379", b"http://", b"http://a b/", b"\xff"];
        for authority in authorities {
            for is_compressed in [true, false] {
                let sent = [PREFACE, &frame(authority, is_compressed, 0)].concat();
                assert_eq!(handed_on(&sent, 5), sent);
            }
        }
        let request = b"POST /v3/kv/range HTTP/1.1\r\n\r\n";
        assert_eq!(handed_on(request, 1), request);
        let mut draws = vertebra_sim::random::Streams::new(7).stream("tests/authority", 0);
        for _ in 0..20_000 {
            // Noise in which there is no whole URL, in frames and without any.
            let mut block: Vec<u8> = (0..draws.below(40)).map(|_| draws.next_u64() as u8).collect();
            if draws.chance(500_000) {
                let head = [0, 0, block.len() as u8, HEADERS, draws.next_u64() as u8, 0, 0, 0, 1];
                block.splice(0..0, head);
            }
            let sent = [PREFACE, &block].concat();
            let handed = handed_on(&sent, 4);
            assert!(sent.starts_with(&handed), "{sent:?}");
        }
    }
}
