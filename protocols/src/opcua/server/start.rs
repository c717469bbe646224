//! How the server is put together.

use std::{
    collections::HashSet, net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration,
};

use opcua::{
    crypto::SecurityPolicy,
    server::{
        Limits, ServerBuilder, ServerEndpoint, ServerHandle, SubscriptionLimits,
        node_manager::{
            ServerContext,
            memory::{InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl},
        },
    },
    types::{MessageSecurityMode, TypeLoaderCollection},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        StartError, bounds,
        message::Down,
        model,
        pki::{self, RENEW_DAYS},
    },
    Audit, Request, ServerConfig, Tenant,
    audit::AuditLog,
    door::Door,
    guard::{Guard, Identities},
    nodes::{self, TenantNodes},
    space,
};

/// How often it is looked how long our certificate is good.
const EXPIRY_EVERY: Duration = Duration::from_secs(6 * 3600);

/// A server that runs until its token is cancelled.
pub struct MarketServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl std::fmt::Debug for MarketServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MarketServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl MarketServer {
    /// Starts one. `requests` and `audit`: where what tenants ask, and who comes and goes, is told.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: ServerConfig,
        requests: mpsc::Sender<Request>,
        audit: mpsc::Sender<Audit>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        check(&config.tenants)?;
        let own = config.pki.own()?;
        config.pki.prepare()?;
        let audit = Arc::new(AuditLog::new(audit));
        let outside = listen(config.listen).await?;
        let inside = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let (address, inner) = (local(&outside)?, local(&inside)?);
        let host = host_of(config.endpoint.as_deref(), address)?;
        let mut builder = builder(&config, &own, &host, address.port())
            .token(stop.clone())
            .with_authenticator(Arc::new(Guard {
                tenants: config.tenants.clone(),
                verify: Arc::clone(&config.verify),
                audit: Arc::clone(&audit),
            }))
            .with_node_manager(InMemoryNodeManagerBuilder::new(folder));
        for tenant in config.tenants {
            let (requests, audit) = (requests.clone(), Arc::clone(&audit));
            builder = builder.with_node_manager(move |context: ServerContext| {
                TenantNodes::new(context, tenant, requests, audit)
                    .expect("the manager that was just built is of the type that it was built as")
            });
        }
        let (server, handle) = builder.build().map_err(StartError::Config)?;
        let mut loaders = TypeLoaderCollection::new_empty();
        loaders.add(Arc::new(Identities(Arc::clone(&audit))));
        for loader in &bounds::type_loaders() {
            loaders.add(Arc::clone(loader));
        }
        *handle.info().type_loaders.write() = loaders;
        audit.counts(Arc::clone(handle.info()));
        let mut served = tokio::spawn(server.run_with(inside));
        started(&handle, inner, &mut served).await?;
        // What clients are told to connect to is the door.
        handle.info().port.store(address.port(), Ordering::Relaxed);
        let door = Door::new(inner, config.pki.clone(), Arc::clone(&audit));
        tokio::spawn(door.run(outside, stop.clone()));
        tokio::spawn(watch_expiry(config.pki, audit, stop));
        Ok(Self { address, handle })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a tenant a document: now, if it is connected, and whenever it comes back, as long as it is
    /// one of the latest [`HELD`](super::HELD) intervals'. The same one again changes nothing. A tenant
    /// that is not known is passed over.
    pub fn publish(&self, tenant: &str, document: &Down) {
        let nodes = self
            .handle
            .node_managers()
            .get_by_name::<TenantNodes>(&TenantNodes::name_of(tenant));
        let Down::Award(award) = document;
        if let Some(nodes) = nodes {
            nodes.publish(self.handle.subscriptions(), award);
        }
    }
}

fn check(tenants: &[Tenant]) -> Result<(), StartError> {
    let wrong = |what: String| Err(StartError::Config(what));
    let (mut names, mut users, mut certificates) = (HashSet::new(), HashSet::new(), HashSet::new());
    for tenant in tenants {
        let name = &tenant.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return wrong(format!(
                "tenant {name:?}: letters, digits, '-', '_' and '.' only"
            ));
        }
        if !names.insert(name) {
            return wrong(format!("tenant {name} is there twice"));
        }
        if tenant.user.is_empty() || !users.insert(&tenant.user) {
            return wrong(format!(
                "tenant {name}: user {:?} is not its alone",
                tenant.user
            ));
        }
        for certificate in &tenant.certificates {
            if !certificates.insert(certificate) {
                return wrong(format!(
                    "tenant {name}: certificate {certificate} is not its alone"
                ));
            }
        }
    }
    Ok(())
}

fn folder(
    context: ServerContext,
    space: &mut opcua::server::address_space::AddressSpace,
) -> Folder {
    let namespaces = nodes::namespaces(&context);
    space.add_namespace(model::NAMESPACE, namespaces.folder);
    space::build_folder(space, namespaces);
    Folder(namespaces.folder)
}

/// What everybody sees: the folder.
struct Folder(u16);

#[async_trait::async_trait]
impl InMemoryNodeManagerImpl for Folder {
    async fn init(
        &self,
        _space: &mut opcua::server::address_space::AddressSpace,
        _context: ServerContext,
    ) {
    }

    fn name(&self) -> &str {
        model::FOLDER
    }

    fn namespaces(&self) -> Vec<opcua::server::diagnostics::NamespaceMetadata> {
        vec![nodes::metadata(model::NAMESPACE, self.0)]
    }
}

fn builder(config: &ServerConfig, own: &pki::Certificate, host: &str, port: u16) -> ServerBuilder {
    let uri = own.names.first().cloned().unwrap_or_default();
    let endpoint = ServerEndpoint::new(
        "/",
        SecurityPolicy::Basic256Sha256,
        MessageSecurityMode::SignAndEncrypt,
        &[],
    );
    let mut builder = ServerBuilder::new()
        .application_name(config.name.clone())
        .application_uri(uri)
        .product_uri("urn:busbar")
        .pki_dir(config.pki.folder.clone())
        .certificate_path(pki::CERTIFICATE)
        .private_key_path(pki::KEY)
        .host(host)
        .port(port)
        .discovery_urls(vec![format!("opc.tcp://{host}:{port}/")])
        .add_endpoint("market", endpoint)
        .default_endpoint("market")
        .hello_timeout(5)
        .max_session_timeout_ms(60_000)
        .max_timeout_ms(30_000)
        .max_secure_channel_token_lifetime_ms(3_600_000)
        .limits(limits(config.tenants.len()))
        // For what it counts; nobody may read it.
        .diagnostics_enabled(true);
    builder.config_mut().certificate_validation.check_time = true;
    builder
}

/// What a tenant can make the server keep, whatever it asks for.
fn limits(tenants: usize) -> Limits {
    Limits {
        max_array_length: 10_000,
        max_string_length: 64 * 1024,
        max_byte_string_length: 64 * 1024,
        max_message_size: 512 * 1024,
        max_chunk_count: 16,
        max_browse_continuation_points: 8,
        max_history_continuation_points: 1,
        max_query_continuation_points: 1,
        max_sessions: 4 * tenants + 8,
        subscriptions: SubscriptionLimits {
            max_subscriptions_per_session: 4,
            max_pending_publish_requests: 8,
            max_monitored_items_per_sub: 64,
            max_monitored_item_queue_size: 16,
            max_queued_notifications: 16,
            ..SubscriptionLimits::default()
        },
        ..Limits::default()
    }
}

async fn listen(at: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(at).await;
    bound.map_err(|error| StartError::Listen {
        address: at.to_string(),
        reason: error.to_string(),
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    let address = listener.local_addr();
    address.map_err(|error| StartError::Config(error.to_string()))
}

/// The host that clients are told.
fn host_of(endpoint: Option<&str>, listen: SocketAddr) -> Result<String, StartError> {
    let Some(endpoint) = endpoint else {
        return Ok(listen.ip().to_string());
    };
    let host = endpoint.strip_prefix("opc.tcp://").and_then(|rest| {
        let (host, _) = rest.trim_end_matches('/').rsplit_once(':')?;
        (!host.is_empty()).then(|| host.to_owned())
    });
    host.ok_or_else(|| StartError::Config(format!("{endpoint:?} is not opc.tcp://host:port")))
}

/// Waits until the server has set its own port, which it does when it takes connections.
async fn started(
    handle: &ServerHandle,
    inner: SocketAddr,
    served: &mut JoinHandle<Result<(), String>>,
) -> Result<(), StartError> {
    while handle.info().port.load(Ordering::Relaxed) != inner.port() {
        if served.is_finished() {
            let why = match served.await {
                Ok(Err(why)) => why,
                other => format!("the server has ended at once: {other:?}"),
            };
            return Err(StartError::Config(why));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn watch_expiry(pki: super::Pki, audit: Arc<AuditLog>, stop: CancellationToken) {
    loop {
        if let Ok(own) = pki.own() {
            let days = own.days_left(pki::now());
            if days <= RENEW_DAYS {
                audit.tell(Audit::Expires { days });
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EXPIRY_EVERY) => {}
        }
    }
}
