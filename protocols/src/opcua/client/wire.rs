//! The client's connection: what a server can make it keep is bounded before anything of it is believed.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use opcua::{
    client::{
        ConnectionSource,
        transport::{
            Connector, RequestRecv, SecureChannelState, StreamConnection, StreamConnector,
            StreamTransport, TransportConfiguration,
        },
    },
    core::comms::{tcp_codec::TcpCodec, url::hostname_port_from_url},
    types::{DecodingOptions, EndpointDescription, Error, StatusCode},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::codec::FramedRead;

use super::super::lengths::Lengths;

/// The usual port.
const PORT: u16 = 4840;

/// Connections to one server, and why one was given up by us.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    url: String,
    why: Arc<Mutex<Option<String>>>,
}

type Stream = StreamConnection<Bounded, OwnedWriteHalf>;

impl Wire {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            why: Arc::default(),
        }
    }

    /// An error of the library's, or what is behind it.
    pub(super) fn words(&self, error: &dyn std::fmt::Display) -> String {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.clone().unwrap_or_else(|| error.to_string())
    }
}

impl ConnectionSource for Wire {
    type Builder = Self;

    fn get_connector(&self, _: &EndpointDescription) -> Result<Self, Error> {
        Ok(self.clone())
    }
}

impl Connector for Wire {
    type Transport = StreamTransport<Bounded, OwnedWriteHalf>;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        requests: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<Self::Transport, Error> {
        let open = |url, options| open(url, options, Arc::clone(&self.why));
        let connector = StreamConnector::new(open, self.url.clone());
        connector.connect(channel, requests, config).await
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.url.as_str())
    }
}

async fn open(
    url: String,
    options: DecodingOptions,
    why: Arc<Mutex<Option<String>>>,
) -> Result<Stream, Error> {
    let at = hostname_port_from_url(&url, PORT)
        .map_err(|status| Error::new(status, format!("{url}: no host and port")))?;
    let stream = TcpStream::connect(at).await.map_err(|error| {
        let what = format!("cannot connect to {url}: {error}");
        Error::new(StatusCode::BadCommunicationError, what)
    })?;
    let (inner, writer) = stream.into_split();
    let reader = Bounded {
        inner,
        lengths: Lengths::default(),
        why,
    };
    let reader = FramedRead::new(reader, TcpCodec::new(options));
    Ok(StreamConnection::new(reader, writer, url))
}

/// Reads until a message is too long.
pub(super) struct Bounded {
    inner: OwnedReadHalf,
    lengths: Lengths,
    why: Arc<Mutex<Option<String>>>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        let taken = self.lengths.take(read);
        if let Err(error) = &taken {
            let mut why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
            why.get_or_insert(format!("the server sends {error}"));
        }
        Poll::Ready(taken)
    }
}
