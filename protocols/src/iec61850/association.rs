//! Associations to an IED (IEC 61850-8-1, 10), and what goes wrong with them.

use std::{future::Future, sync::Arc, time::Duration};

use iec61850_client::{ClientError, IedConnection};
use iec61850_hal::time::TokioTimer;
use iec61850_mms::MmsClient;
use tokio::{net::TcpStream, time::timeout};

use crate::tls::{Octets, TlsClient};

/// An association.
pub(super) type Association = IedConnection<Box<dyn Octets>, TokioTimer>;

/// Where an IED is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Host and port.
    pub address: String,
    /// With TLS (IEC 62351-3).
    pub tls: Option<TlsClient>,
    /// How long opening a connection, or an answer, may take.
    pub timeout: Duration,
}

/// Why an association is over: in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) String);

/// Why a service failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The IED said no; the association goes on.
    Refused(String),
    /// The association is over.
    Lost(Lost),
}

impl Place {
    /// Opens an association.
    pub(super) async fn associate(&self) -> Result<Arc<Association>, Lost> {
        let opening = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                Some(tls) => tls.connect(stream).await,
                None => Ok(Box::new(stream) as Box<dyn Octets>),
            }
        };
        let stream = match timeout(self.timeout, opening).await {
            Ok(stream) => stream.map_err(|error| Lost(error.to_string()))?,
            Err(_) => return Err(Lost("no connection in time".into())),
        };
        let associating = MmsClient::from_transport_with_timer(stream, TokioTimer);
        match timeout(self.timeout, associating).await {
            Ok(Ok(client)) => Ok(Arc::new(IedConnection::with_mms_client(client))),
            Ok(Err(error)) => Err(Lost(format!("no association: {error}"))),
            Err(_) => Err(Lost("no association in time".into())),
        }
    }

    /// The answer to a request, if it comes in time. One that does not ends the association: it may come later,
    /// to another's request.
    pub(super) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Failure> {
        match timeout(self.timeout, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(Failure::Lost(Lost("no answer in time".into()))),
        }
    }
}

/// What is left of an association after an error.
pub(super) fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::DataAccessError(_)
        | ClientError::Service { .. }
        | ClientError::Reject { .. }
        | ClientError::InvalidArgument(_)
        | ClientError::TypeMismatch { .. }
        | ClientError::UnexpectedValueType { .. }
        | ClientError::PduTooLarge { .. } => Failure::Refused(error.to_string()),
        error => Failure::Lost(Lost(error.to_string())),
    }
}
