//! Messages as the door sees them (IEC 62541-6, 7.1): their headers, and what an opening says unencrypted.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The largest hello or opening of a channel: a certificate with a key of 4096 bit has 2 kB.
const MAX_OPENING: usize = 16 * 1024;
/// The smallest hello that is whole: the library waits for more after what is less than a header.
const MIN_HELLO: usize = 32;
/// The largest message of the library's: its buffer has 64 kB.
const MAX_ANSWER: usize = 128 * 1024;

/// What the opening of a secure channel says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) policy: String,
    pub(super) certificate: Vec<u8>,
}

impl Opening {
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let mut rest = frame.get(12..)?;
        let policy = octets(&mut rest)?;
        let certificate = octets(&mut rest)?;
        Some(Self {
            policy: String::from_utf8(policy.to_vec()).ok()?,
            certificate: certificate.to_vec(),
        })
    }
}

/// A string of octets with its length before it; one of length -1 is empty.
fn octets<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = i32::from_le_bytes(*length);
    let length = if length == -1 {
        0
    } else {
        usize::try_from(length).ok()?
    };
    let (octets, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(octets)
}

/// Reads one message of these kinds, in one chunk.
pub(super) async fn frame(
    from: &mut (impl AsyncRead + Unpin),
    kinds: &[[u8; 3]],
) -> io::Result<Vec<u8>> {
    let is = |head: &[u8; 8], length| {
        let whole = head[..3] != *b"HEL" || length >= MIN_HELLO;
        let known = kinds.iter().any(|kind| head[..3] == *kind);
        known && whole && head[3] == b'F' && length <= MAX_OPENING
    };
    read(from, is).await
}

/// Reads what comes next of the library.
pub(super) async fn answer(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    read(from, |_, length| length <= MAX_ANSWER).await
}

/// Reads a message whose header and length, 8 at least, will do.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    is: impl Fn(&[u8; 8], usize) -> bool,
) -> io::Result<Vec<u8>> {
    let mut head = [0; 8];
    from.read_exact(&mut head).await?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length < head.len() || !is(&head, length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = head.to_vec();
    frame.resize(length, 0);
    from.read_exact(&mut frame[8..]).await?;
    Ok(frame)
}

/// `BadSecurityChecksFailed`, without saying which (IEC 62541-4, 6.1.3).
pub(super) fn error_frame() -> [u8; 16] {
    let mut frame = *b"ERRF\x10\0\0\0\0\0\0\0\xff\xff\xff\xff";
    frame[8..12].copy_from_slice(&0x8013_0000_u32.to_le_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(policy: &str, certificate: &[u8]) -> Vec<u8> {
        let mut frame = b"OPNF\0\0\0\0\0\0\0\0".to_vec();
        for part in [policy.as_bytes(), certificate] {
            frame.extend(i32::try_from(part.len()).unwrap().to_le_bytes());
            frame.extend(part);
        }
        frame
    }

    #[test]
    fn an_opening_says_policy_and_certificate() {
        let frame = opening("policy", b"certificate");
        let read = Opening::read(&frame).unwrap();
        assert_eq!(
            (read.policy.as_str(), &read.certificate[..]),
            ("policy", &b"certificate"[..])
        );
        for cut in 0..frame.len() {
            assert_eq!(Opening::read(&frame[..cut]), None, "{cut}");
        }
        let mut negative = opening("policy", b"x");
        negative[12..16].copy_from_slice(&(-2_i32).to_le_bytes());
        assert_eq!(Opening::read(&negative), None);
    }

    #[tokio::test]
    async fn a_frame_is_bounded_and_of_its_kind() {
        let mut whole = b"HELF\x20\0\0\0".to_vec();
        whole.resize(32, b'a');
        assert_eq!(frame(&mut &whole[..], &[*b"HEL"]).await.unwrap(), whole);
        let short = b"OPNF\x0a\0\0\0ab".to_vec();
        assert_eq!(frame(&mut &short[..], &[*b"OPN"]).await.unwrap(), short);
        for wrong in [
            &b"MSGF\x0a\0\0\0ab"[..],
            b"HELF\x0a\0\0\0ab",
            b"HELC\x0a\0\0\0ab",
            b"HELF\xff\xff\xff\xffab",
            b"HELF\x07\0\0\0ab",
            b"HELF\x0b\0\0\0ab",
        ] {
            assert!(
                frame(&mut &wrong[..], &[*b"HEL"]).await.is_err(),
                "{wrong:?}"
            );
        }
    }
}
