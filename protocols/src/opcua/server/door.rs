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
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Mutex, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{lengths::Lengths, pki},
    Pki,
    audit::AuditLog,
    connection::{self, Connection},
    frame::{Opening, answer, error_frame, frame},
};
use crate::tls::Fingerprint;

/// So many connections that have not shown a certificate that we trust.
const HALF_OPEN: usize = 64;
/// So many of one certificate.
const PER_CERTIFICATE: usize = 4;
/// How long a connection may take to show one.
const OPENING: Duration = Duration::from_secs(5);
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(180);
/// How long the library may take to answer a hello, one after the other.
const GREETING: Duration = Duration::from_secs(3);
/// So many questions without security on a connection.
const MAX_QUESTIONS: usize = 8;

/// GetEndpoints, FindServers, CloseSecureChannel: their requests' binary encodings in namespace 0.
const QUESTIONS: [u16; 3] = [428, 422, 452];

pub(super) struct Door {
    inner: SocketAddr,
    pki: Pki,
    audit: Arc<AuditLog>,
    /// Whose turn it is to greet the library.
    greeting: Mutex<()>,
}

impl Door {
    pub(super) fn new(inner: SocketAddr, pki: Pki, audit: Arc<AuditLog>) -> Self {
        Self {
            inner,
            pki,
            audit,
            greeting: Mutex::default(),
        }
    }

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
                let connection = Arc::new(Connection::new(from));
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = door.serve(stream, &connection, permit) => {}
                }
                door.audit.ended(&connection);
            });
        }
    }

    /// Serves a connection to its end, and tells what becomes of it.
    async fn serve(
        &self,
        mut outside: TcpStream,
        connection: &Arc<Connection>,
        half_open: OwnedSemaphorePermit,
    ) {
        let opened = timeout(OPENING, self.open(&mut outside, connection)).await;
        let opened = opened.unwrap_or_else(|_| Err("took too long to open a channel".into()));
        let (mut inside, frame, opening) = match opened {
            Ok(opened) => opened,
            Err(reason) => return self.audit.refuse(connection, reason),
        };
        if opening.policy == SecurityPolicy::None.to_uri() {
            let served = timeout(OPENING, self.questions(outside, inside, &frame, connection));
            let served = served
                .await
                .unwrap_or(Err("took too long without security"));
            if let Err(reason) = served {
                self.audit.refuse(connection, reason);
            }
            return;
        }
        let certificate = match self.admit(&opening, connection).await {
            Ok(certificate) => certificate,
            Err(reason) => {
                self.audit.refuse(connection, reason);
                let _ = outside.write_all(&error_frame()).await;
                return;
            }
        };
        drop(half_open);
        if inside.write_all(&frame).await.is_ok() {
            self.relay(outside, inside, connection).await;
        }
        if connection.untold() {
            self.audit
                .refuse(connection, "left without having logged in");
        }
        self.audit.close(certificate);
    }

    /// Passes the hello and its answer, and reads the opening, which the server has not seen yet.
    async fn open(
        &self,
        outside: &mut TcpStream,
        connection: &Arc<Connection>,
    ) -> Result<(TcpStream, Vec<u8>, Opening), String> {
        let words = |error: io::Error| format!("no proper start of a connection: {error}");
        let hello = frame(outside, &[*b"HEL"]).await.map_err(words)?;
        let mut inside = TcpStream::connect(self.inner).await.map_err(words)?;
        let greeted = async {
            let _turn = self.greeting.lock().await;
            let _greeting = self.audit.greets(connection);
            let answered = async {
                inside.write_all(&hello).await?;
                answer(&mut inside).await
            };
            timeout(GREETING, answered).await?
        };
        let greeted = greeted.await.map_err(words)?;
        outside.write_all(&greeted).await.map_err(words)?;
        if !greeted.starts_with(b"ACK") {
            return Err(connection::words(&greeted));
        }
        let frame = frame(outside, &[*b"OPN"]).await.map_err(words)?;
        let opening = Opening::read(&frame).ok_or("the opening of the channel cannot be read")?;
        self.audit.answered(connection, &greeted);
        Ok((inside, frame, opening))
    }

    /// The certificate that a connection is for, if it may go on.
    async fn admit(
        &self,
        opening: &Opening,
        connection: &Connection,
    ) -> Result<Fingerprint, String> {
        if opening.policy != SecurityPolicy::Basic256Sha256.to_uri() {
            return Err(format!("security policy {:?}", opening.policy));
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
        connection.shows(shown);
        looked
            .await
            .unwrap_or_else(|error| Err(error.to_string()))?;
        let from = connection.from.to_string();
        if !self.audit.open(shown, from, PER_CERTIFICATE) {
            return Err(format!(
                "more than {PER_CERTIFICATE} connections of one certificate"
            ));
        }
        Ok(shown)
    }

    /// Serves a connection without security: the answers come back, only harmless questions go in.
    async fn questions(
        &self,
        outside: TcpStream,
        mut inside: TcpStream,
        opening: &[u8],
        connection: &Connection,
    ) -> Result<(), &'static str> {
        if inside.write_all(opening).await.is_err() {
            return Ok(());
        }
        let (mut out_read, mut out_write) = outside.into_split();
        let (mut in_read, mut in_write) = inside.into_split();
        tokio::select! {
            asked = ask(&mut out_read, &mut in_write) => asked,
            _ = self.answers(&mut in_read, &mut out_write, connection) => Ok(()),
        }
    }

    /// Passes messages both ways until an end is closed, or neither says anything for long.
    async fn relay(&self, outside: TcpStream, inside: TcpStream, connection: &Connection) {
        let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
        let (mut out_read, mut out_write) = outside.into_split();
        let (mut in_read, mut in_write) = inside.into_split();
        let answers = self.answers(&mut in_read, &mut out_write, connection);
        tokio::pin!(answers);
        let passed = tokio::select! {
            passed = pass(&mut out_read, &mut in_write) => Some(passed),
            _ = &mut answers => None,
        };
        match passed {
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                self.audit.refuse(connection, error);
            }
            // What the library has to say to the last message is told all the same.
            Some(_) => drop(timeout(GREETING, answers).await),
            None => {}
        }
    }

    /// Passes what the library says, and tells what it refuses.
    async fn answers(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        connection: &Connection,
    ) -> io::Result<()> {
        loop {
            let frame = match timeout(IDLE, answer(from)).await? {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return to.shutdown().await;
                }
                frame => frame?,
            };
            self.audit.answered(connection, &frame);
            timeout(IDLE, to.write_all(&frame)).await??;
        }
    }
}

/// Lets harmless questions in, a few.
async fn ask(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), &'static str> {
    for _ in 0..MAX_QUESTIONS {
        let question = match frame(from, &[*b"MSG", *b"CLO"]).await {
            Ok(question) => question,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err("no proper question without security");
            }
            Err(_) => return Ok(()),
        };
        // Type of the chunk 8, channel 4, token 4, sequence 4, request 4; then the body's type, a
        // node id of four octets: 1, namespace, identifier.
        let harmless = question.get(24..28).is_some_and(|id| {
            id[..2] == [1, 0] && QUESTIONS.contains(&u16::from_le_bytes([id[2], id[3]]))
        });
        if !harmless {
            return Err("asked without security for what takes security");
        }
        if to.write_all(&question).await.is_err() {
            return Ok(());
        }
    }
    Err("too many questions without security")
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut lengths = Lengths::default();
    loop {
        let count = timeout(IDLE, from.read(&mut buffer)).await??;
        if count == 0 {
            return to.shutdown().await;
        }
        lengths.take(&buffer[..count])?;
        timeout(IDLE, to.write_all(&buffer[..count])).await??;
    }
}
