//! The door in front of the server: it listens outside, looks at what a connection says before anything is
//! computed for it, and hands it on to the server, which listens on loopback.
//!
//! The library takes any number of connections, keeps every certificate it does not know on disk, and opens
//! sessions without certificate; all of that ends here. What a hello and an opening of a secure channel say
//! of themselves is not encrypted (IEC 62541-6, 6.7.2): policy and certificate. Whether the other end has
//! the certificate's key is for the server to find out. Without security one may ask which endpoints there
//! are, and nothing else.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use opcua::crypto::SecurityPolicy;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{super::pki, Pki, audit::AuditLog};
use crate::tls::Fingerprint;

/// So many connections that have not shown a certificate that we trust.
const HALF_OPEN: usize = 64;
/// So many of one certificate.
const PER_CERTIFICATE: usize = 4;
/// How long a connection may take to show one.
const OPENING: Duration = Duration::from_secs(5);
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(180);
/// The largest hello or opening of a channel: a certificate with a key of 4096 bit has 2 kB.
const MAX_OPENING: usize = 16 * 1024;
/// So many questions without security on a connection.
const MAX_QUESTIONS: usize = 8;

/// GetEndpoints, FindServers, CloseSecureChannel: their requests' binary encodings in namespace 0.
const QUESTIONS: [u16; 3] = [428, 422, 452];

#[derive(Debug)]
pub(super) struct Door {
    pub(super) inner: SocketAddr,
    pub(super) pki: Pki,
    pub(super) audit: Arc<AuditLog>,
}

/// What the opening of a secure channel says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Opening {
    policy: String,
    certificate: Vec<u8>,
}

impl Door {
    /// Takes connections until `stop`.
    pub(super) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let door = Arc::new(self);
        let half_open = Arc::new(Semaphore::new(HALF_OPEN));
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, from)) = accepted else {
                // Out of file descriptors: wait for some to come back.
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(permit) = Arc::clone(&half_open).try_acquire_owned() else {
                door.audit.refused(
                    &from.to_string(),
                    "",
                    "too many connections are being opened",
                );
                continue;
            };
            let (door, stop) = (Arc::clone(&door), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = door.connection(stream, from, permit) => {}
                }
            });
        }
    }

    async fn connection(
        &self,
        mut outside: TcpStream,
        from: SocketAddr,
        half_open: tokio::sync::OwnedSemaphorePermit,
    ) {
        let opened = timeout(OPENING, self.open(&mut outside)).await;
        let opened = opened.unwrap_or_else(|_| Err("took too long to open a channel".into()));
        let (mut inside, frame, opening) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                self.audit.refused(&from.to_string(), "", reason);
                return;
            }
        };
        if opening.policy == SecurityPolicy::None.to_uri() {
            let served = async {
                inside.write_all(&frame).await?;
                questions(outside, inside).await
            };
            let _ = timeout(OPENING, served).await;
            return;
        }
        let certificate = match self.admit(&opening, from).await {
            Ok(certificate) => certificate,
            Err((who, reason)) => {
                self.audit.refused(&from.to_string(), &who, reason);
                let _ = outside.write_all(&error_frame()).await;
                return;
            }
        };
        drop(half_open);
        if inside.write_all(&frame).await.is_ok() {
            relay(outside, inside).await;
        }
        self.audit.close(certificate);
    }

    /// Passes the hello and its answer, and reads the opening, which the server has not seen yet.
    async fn open(&self, outside: &mut TcpStream) -> Result<(TcpStream, Vec<u8>, Opening), String> {
        let words = |error: io::Error| format!("no proper start of a connection: {error}");
        let hello = frame(outside, &[*b"HEL"]).await.map_err(words)?;
        let mut inside = TcpStream::connect(self.inner).await.map_err(words)?;
        inside.write_all(&hello).await.map_err(words)?;
        let acknowledge = frame(&mut inside, &[*b"ACK"]).await.map_err(words)?;
        outside.write_all(&acknowledge).await.map_err(words)?;
        let frame = frame(outside, &[*b"OPN"]).await.map_err(words)?;
        let opening = Opening::read(&frame).ok_or("the opening of the channel cannot be read")?;
        Ok((inside, frame, opening))
    }

    /// The certificate that a connection is for, if it may go on.
    async fn admit(
        &self,
        opening: &Opening,
        from: SocketAddr,
    ) -> Result<Fingerprint, (String, String)> {
        if opening.policy != SecurityPolicy::Basic256Sha256.to_uri() {
            return Err((
                String::new(),
                format!("security policy {:?}", opening.policy),
            ));
        }
        let (pki, der) = (self.pki.clone(), opening.certificate.clone());
        let looked = tokio::task::spawn_blocking(move || {
            // What an engineer has put there since.
            let prepared = pki.prepare().map_err(|error| error.to_string());
            let checked = pki.check(&der, pki::now());
            if let Err(pki::Untrusted::Unknown(_)) = &checked {
                pki.keep_rejected(&der);
            }
            prepared.and_then(|()| checked.map_err(|error| error.to_string()))
        });
        let shown = Fingerprint::of_der(&opening.certificate);
        let looked = looked.await.unwrap_or_else(|error| Err(error.to_string()));
        looked.map_err(|reason| (shown.to_string(), reason))?;
        if !self.audit.open(shown, from, PER_CERTIFICATE) {
            let reason = format!("more than {PER_CERTIFICATE} connections of one certificate");
            return Err((shown.to_string(), reason));
        }
        Ok(shown)
    }
}

impl Opening {
    fn read(frame: &[u8]) -> Option<Self> {
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
async fn frame(from: &mut (impl AsyncRead + Unpin), kinds: &[[u8; 3]]) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 8];
    from.read_exact(&mut frame).await?;
    let length = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let known = kinds.iter().any(|kind| frame[..3] == *kind);
    if !known || frame[3] != b'F' || !(8..=MAX_OPENING).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    frame.resize(length, 0);
    from.read_exact(&mut frame[8..]).await?;
    Ok(frame)
}

/// Serves a connection without security: the answers come back, only harmless questions go in.
async fn questions(outside: TcpStream, inside: TcpStream) -> io::Result<()> {
    let (mut out_read, mut out_write) = outside.into_split();
    let (mut in_read, mut in_write) = inside.into_split();
    let asked = async {
        for _ in 0..MAX_QUESTIONS {
            let question = frame(&mut out_read, &[*b"MSG", *b"CLO"]).await?;
            // Type of the chunk 8, channel 4, token 4, sequence 4, request 4; then the body's type, a
            // node id of four octets: 1, namespace, identifier.
            let harmless = question.get(24..28).is_some_and(|id| {
                id[..2] == [1, 0] && QUESTIONS.contains(&u16::from_le_bytes([id[2], id[3]]))
            });
            if !harmless {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            in_write.write_all(&question).await?;
        }
        Ok(())
    };
    let answered = async {
        tokio::io::copy(&mut in_read, &mut out_write)
            .await
            .map(drop)
    };
    tokio::select! {
        asked = asked => asked,
        answered = answered => answered,
    }
}

/// Passes octets both ways until an end is closed, or neither says anything for long.
async fn relay(outside: TcpStream, inside: TcpStream) {
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    let (mut out_read, mut out_write) = outside.into_split();
    let (mut in_read, mut in_write) = inside.into_split();
    tokio::select! {
        _ = pass(&mut out_read, &mut in_write) => {}
        _ = pass(&mut in_read, &mut out_write) => {}
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = timeout(IDLE, from.read(&mut buffer)).await??;
        if count == 0 {
            return to.shutdown().await;
        }
        timeout(IDLE, to.write_all(&buffer[..count])).await??;
    }
}

/// `BadSecurityChecksFailed`, without saying which (IEC 62541-4, 6.1.3).
fn error_frame() -> [u8; 16] {
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
        let whole = b"HELF\x0a\0\0\0ab".to_vec();
        assert_eq!(frame(&mut &whole[..], &[*b"HEL"]).await.unwrap(), whole);
        for wrong in [
            &b"MSGF\x0a\0\0\0ab"[..],
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
