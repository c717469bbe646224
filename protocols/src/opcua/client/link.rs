//! One session with the layer above, from its opening on.

use std::{path::Path, sync::Arc, time::Duration};

use opcua::{
    client::{
        Client, ClientBuilder, DataChangeCallback, IdentityToken, MonitoredItem, Session,
        transport::TransportPollResult,
    },
    core::ResponseMessage,
    crypto::{CertificateStore, SecurityPolicy, X509Data},
    sync::RwLock,
    types::{
        AttributeId, BrowseDescription, BrowseDirection, BrowseResultMask, DataValue, DateTime,
        EndpointDescription, Error, GetEndpointsRequest, Identifier, MessageSecurityMode,
        MonitoredItemCreateRequest, NodeClassMask, NodeId, ReadValueId, ReferenceTypeId,
        RequestHeader, StatusCode, TimestampsToReturn, VariableId, Variant,
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    super::{
        bounds, codec,
        message::{Award, Receipt, Refused, Up},
        model, pki,
    },
    ClientConfig, SubmitError,
    wire::Wire,
};

/// How long each step of the opening may take, and a document.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// The server's clock comes this often: by its absence we know that nothing comes.
const CLOCK_EVERY_MS: f64 = 1000.0;
const PUBLISHING: Duration = Duration::from_millis(250);

/// What the subscription says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The server's clock against ours, ms.
    Clock(i64),
    /// There may be an award that we do not have.
    Awards,
}

/// An open session.
pub(super) struct Link {
    pub(super) session: Arc<Session>,
    /// Ends when the connection does.
    pub(super) ended: JoinHandle<StatusCode>,
    pub(super) notes: mpsc::UnboundedReceiver<Note>,
    pub(super) peer: Peer,
}

/// Where on the server our nodes are.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) tenant: String,
    namespace: u16,
}

impl Link {
    /// Opens one.
    pub(super) async fn open(config: &ClientConfig) -> Result<Self, String> {
        let own = config.pki.own().map_err(|error| error.to_string())?;
        config.pki.prepare().map_err(|error| error.to_string())?;
        let wire = Wire::new(&config.endpoint);
        let client = client(config, &own)?;
        let endpoint = endpoint(config, &client, &wire).await?;
        let identity = IdentityToken::UserName(config.user.clone(), config.password.clone().into());
        let opened = client
            .session_builder()
            .with_connector(wire.clone())
            .connect_to_endpoint_directly(endpoint)
            .and_then(|of| of.user_identity_token(identity).build(store(config)));
        let (session, events) = opened.map_err(|error| error.to_string())?;
        *session.encoding_context().write().loaders_mut() = bounds::type_loaders_of_client();
        let mut ended = events.spawn();
        let opened = tokio::select! {
            opened = timeout(PATIENCE, session.wait_for_connection()) => opened,
            status = &mut ended => {
                return Err(status.map_or_else(|error| error.to_string(), |status| wire.words(&status)));
            }
        };
        let set_up = async {
            match opened {
                Ok(true) => {}
                _ => return Err("no session within ten seconds".to_owned()),
            }
            let peer = within(find(&session)).await?;
            let notes = within(subscribe(&session, &peer)).await?;
            Ok((peer, notes))
        };
        match set_up.await {
            Ok((peer, notes)) => Ok(Self {
                session,
                ended,
                notes,
                peer,
            }),
            Err(reason) => {
                close(&session, ended).await;
                Err(reason)
            }
        }
    }

    /// Ends it, as far as the server still answers.
    pub(super) async fn close(self) {
        close(&self.session, self.ended).await;
    }
}

async fn close(session: &Session, ended: JoinHandle<StatusCode>) {
    let _ = timeout(Duration::from_secs(2), session.disconnect()).await;
    ended.abort();
}

async fn within<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(PATIENCE, step)
        .await
        .unwrap_or_else(|_| Err("no answer within ten seconds".to_owned()))
}

fn client(config: &ClientConfig, own: &pki::Certificate) -> Result<Client, String> {
    let uri = own.names.first().cloned().unwrap_or_default();
    let built = ClientBuilder::new()
        .application_name(config.name.clone())
        .application_uri(uri)
        .product_uri("urn:busbar")
        .pki_dir(config.pki.folder.clone())
        .certificate_path(pki::CERTIFICATE)
        .private_key_path(pki::KEY)
        .trust_server_certs(false)
        .verify_server_certs(true)
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .session_timeout(60_000)
        .request_timeout(PATIENCE)
        .keep_alive_interval(Duration::from_secs(5))
        .max_failed_keep_alive_count(1)
        .max_message_size(512 * 1024)
        .max_chunk_count(16)
        .client();
    built.map_err(|wrong| wrong.join(", "))
}

/// The server's secured endpoint, if its certificate is one that we trust: until then nothing of ours is
/// told.
async fn endpoint(
    config: &ClientConfig,
    client: &Client,
    wire: &Wire,
) -> Result<EndpointDescription, String> {
    let asked = endpoints(config, client, wire);
    let all = within(async { asked.await.map_err(|error| wire.words(&error)) }).await?;
    let secured = all.into_iter().find(|one| {
        one.security_policy_uri.as_ref() == SecurityPolicy::Basic256Sha256.to_uri()
            && one.security_mode == MessageSecurityMode::SignAndEncrypt
    });
    let mut endpoint =
        secured.ok_or("the server has no endpoint with Basic256Sha256, signed and encrypted")?;
    let der = endpoint.server_certificate.as_ref();
    config.pki.check(der, pki::now()).map_err(|error| {
        if matches!(error, pki::Untrusted::Unknown(_)) {
            config.pki.keep_rejected(der);
        }
        format!("server: {error}")
    })?;
    // Where it says that it is may not be how it is reached from here.
    endpoint.endpoint_url = config.endpoint.as_str().into();
    Ok(endpoint)
}

/// What endpoints the server has, as the library's client asks for them, which lets itself be told anything.
async fn endpoints(
    config: &ClientConfig,
    client: &Client,
    wire: &Wire,
) -> Result<Vec<EndpointDescription>, Error> {
    let channel = client
        .session_builder()
        .connect_to_endpoint_directly(config.endpoint.as_str())?
        .build_channel(store(config))?;
    *channel.encoding_context().write().loaders_mut() = bounds::type_loaders_of_client();
    let mut events = channel.connect(wire).await?;
    let request = GetEndpointsRequest {
        request_header: RequestHeader::new(&NodeId::null(), &DateTime::now(), 1),
        endpoint_url: config.endpoint.as_str().into(),
        ..GetEndpointsRequest::default()
    };
    let answer = {
        let asked = channel.send(request, PATIENCE);
        tokio::pin!(asked);
        loop {
            tokio::select! {
                polled = events.poll() => {
                    if let TransportPollResult::Closed(status) = polled {
                        return Err(Error::new(status, "the server has ended the connection"));
                    }
                }
                answer = &mut asked => break answer?,
            }
        }
    };
    channel.close_channel().await;
    while !matches!(events.poll().await, TransportPollResult::Closed(_)) {}
    match answer {
        ResponseMessage::GetEndpoints(answer) => Ok(answer.endpoints.unwrap_or_default()),
        other => {
            let status = other.response_header().service_result;
            Err(Error::new(status, "the server does not say its endpoints"))
        }
    }
}

/// Our own certificate, and whom we trust.
fn store(config: &ClientConfig) -> Arc<RwLock<CertificateStore>> {
    let (certificate, key) = (Path::new(pki::CERTIFICATE), Path::new(pki::KEY));
    let folder = &config.pki.folder;
    let none = None::<X509Data>;
    let (store, _, _) =
        CertificateStore::new_with_x509_data(folder, false, Some(certificate), Some(key), none);
    Arc::new(RwLock::new(store))
}

/// Looks for the one tenant that we are.
async fn find(session: &Session) -> Result<Peer, String> {
    let words = |error: Error| error.to_string();
    let namespaces = session.read_namespace_array().await.map_err(words)?;
    let index = |uri| {
        namespaces
            .get_index(uri)
            .ok_or(format!("the server has no namespace {uri}"))
    };
    let folder = NodeId::new(index(model::NAMESPACE)?, model::FOLDER);
    let description = BrowseDescription {
        node_id: folder,
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: NodeClassMask::OBJECT.bits(),
        result_mask: BrowseResultMask::BrowseName as u32,
    };
    let found = session
        .browse(&[description], 16, None)
        .await
        .map_err(words)?;
    let references = found
        .into_iter()
        .next()
        .and_then(|one| one.references)
        .unwrap_or_default();
    let none = "the server shows no tenant to this user with this certificate";
    let namespace = index(model::TENANT_NAMESPACE).map_err(|_| none.to_owned())?;
    let tenant = references
        .iter()
        .find_map(|reference| match &reference.node_id.node_id {
            NodeId {
                namespace: at,
                identifier: Identifier::String(name),
            } if *at == namespace => Some(name.as_ref().to_owned()),
            _ => None,
        });
    let tenant = tenant.ok_or(none)?;
    Ok(Peer { tenant, namespace })
}

async fn subscribe(
    session: &Session,
    peer: &Peer,
) -> Result<mpsc::UnboundedReceiver<Note>, String> {
    let words = |error: Error| error.to_string();
    let (sender, notes) = mpsc::unbounded_channel();
    let clock: NodeId = VariableId::Server_ServerStatus_CurrentTime.into();
    let is_clock = clock.clone();
    let callback = DataChangeCallback::new(move |value: DataValue, item: &MonitoredItem| {
        let note = if item.item_to_monitor().node_id == is_clock {
            clock_ms(&value).map(Note::Clock)
        } else {
            Some(Note::Awards)
        };
        if let Some(note) = note {
            let _ = sender.send(note);
        }
    });
    let subscription = session.create_subscription(PUBLISHING, 240, 20, 0, 0, true, callback);
    let subscription = subscription.await.map_err(words)?;
    let mut items = Vec::new();
    for (id, every) in [
        (clock, CLOCK_EVERY_MS),
        (peer.id(&["Held", "publication"]), 0.0),
    ] {
        let mut item = MonitoredItemCreateRequest::from(id);
        item.requested_parameters.sampling_interval = every;
        item.requested_parameters.queue_size = 1;
        item.requested_parameters.discard_oldest = true;
        items.push(item);
    }
    let made = session.create_monitored_items(subscription, TimestampsToReturn::Both, items);
    for item in made.await.map_err(words)? {
        if !item.result.status_code.is_good() {
            let node = &item.item_to_monitor.node_id;
            return Err(format!(
                "{node} cannot be watched: {}",
                item.result.status_code
            ));
        }
    }
    Ok(notes)
}

/// How far the server's clock is ahead of ours.
fn clock_ms(value: &DataValue) -> Option<i64> {
    let Some(Variant::DateTime(at)) = &value.value else {
        return None;
    };
    let ours = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    Some(at.as_chrono().timestamp_millis() - i64::try_from(ours).ok()?)
}

impl Peer {
    fn id(&self, parts: &[&str]) -> NodeId {
        let mut path = vec![self.tenant.as_str()];
        path.extend(parts);
        NodeId::new(self.namespace, model::path(&path))
    }

    pub(super) async fn call(
        &self,
        session: &Session,
        method: &str,
        arguments: Vec<Variant>,
    ) -> Result<Vec<Variant>, SubmitError> {
        let request = (self.id(&[]), self.id(&[method]), Some(arguments));
        let called = timeout(PATIENCE, session.call_one(request)).await;
        let called =
            called.map_err(|_| SubmitError::Link("no answer within ten seconds".into()))?;
        let result = called.map_err(|error| SubmitError::Link(error.to_string()))?;
        if !result.status_code.is_good() {
            return Err(SubmitError::Link(result.status_code.to_string()));
        }
        Ok(result.output_arguments.unwrap_or_default())
    }

    pub(super) async fn submit(
        &self,
        session: &Session,
        document: &Up,
    ) -> Result<Receipt, SubmitError> {
        let (method, arguments) = codec::call_of(document);
        let outputs = self.call(session, method, arguments).await?;
        let answer = codec::answer_in(document, &outputs).map_err(SubmitError::Link)?;
        answer.map_err(|refused: Refused| refused.into())
    }

    /// The awards that can be had and that `known` does not know by interval and number.
    pub(super) async fn awards(
        &self,
        session: &Session,
        known: impl Fn(i64, u32) -> bool,
    ) -> Result<Vec<Award>, String> {
        let read = ["intervals", "revisions"].map(|name| ReadValueId {
            node_id: self.id(&["Held", name]),
            attribute_id: AttributeId::Value as u32,
            ..ReadValueId::default()
        });
        let values = session.read(&read, TimestampsToReturn::Neither, 0.0).await;
        let values = values.map_err(|error| error.to_string())?;
        let values: Vec<Variant> = values.into_iter().filter_map(|value| value.value).collect();
        let mut from = codec::Arguments::new(&values);
        let (intervals, revisions) = (from.array(codec::i64_of)?, from.array(codec::u32_of)?);
        let mut awards = Vec::new();
        for (interval, revision) in intervals.into_iter().zip(revisions) {
            if known(interval, revision) {
                continue;
            }
            let held = self.call(session, "GetAward", vec![interval.into()]).await;
            let held = held.map_err(|error| error.to_string())?;
            awards.extend(codec::held_in(&held)?);
        }
        Ok(awards)
    }
}
