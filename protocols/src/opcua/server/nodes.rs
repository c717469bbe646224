//! A tenant's nodes: there for the tenant's user with the tenant's certificate, and for nobody else. To
//! anybody else they do not exist.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use opcua::{
    nodes::DefaultTypeTree,
    server::{
        CreateMonitoredItem, SubscriptionCache,
        address_space::AddressSpace,
        diagnostics::NamespaceMetadata,
        node_manager::{
            BrowseNode, BrowsePathItem, ExternalReferenceRequest, MethodCall, MonitoredItemRef,
            MonitoredItemUpdateRef, NodeManager, NodeManagerBuilder as _, ReadNode, RequestContext,
            ServerContext,
            memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl},
        },
    },
    sync::RwLock,
    types::{
        DataValue, Identifier, MonitoringMode, NodeId, StatusCode, TimestampsToReturn, Variant,
    },
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    super::{
        codec,
        message::{Award, Receipt, Refused, Up},
        model,
    },
    HELD, Request, Tenant,
    audit::AuditLog,
    space::{self, Namespaces},
};
use crate::tls::Fingerprint;

/// How long the one behind may take to keep a document.
const KEEPING: Duration = Duration::from_secs(8);
/// Of so many sessions it is known that they have been told of.
const SESSIONS_TOLD: usize = 32;

/// The library's node manager with a look at who asks before each of its services.
pub(super) struct TenantNodes {
    name: String,
    tenant: Tenant,
    namespaces: Namespaces,
    inner: Arc<InMemoryNodeManager<Desk>>,
    audit: Arc<AuditLog>,
    told: Mutex<VecDeque<u32>>,
}

/// What is behind the nodes.
pub(super) struct Desk {
    tenant: String,
    namespace: NamespaceMetadata,
    requests: mpsc::Sender<Request>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    awards: BTreeMap<i64, Award>,
    publication: u32,
}

impl TenantNodes {
    /// What the manager of a tenant is called.
    pub(super) fn name_of(tenant: &str) -> String {
        format!("tenant {tenant}")
    }

    pub(super) fn new(
        context: ServerContext,
        tenant: Tenant,
        requests: mpsc::Sender<Request>,
        audit: Arc<AuditLog>,
    ) -> Result<Self, String> {
        let namespaces = namespaces(&context);
        let name = tenant.name.clone();
        let build = move |_: ServerContext, space: &mut AddressSpace| {
            space.add_namespace(model::TENANT_NAMESPACE, namespaces.tenant);
            space::build_tenant(space, namespaces, &name);
            Desk {
                tenant: name,
                namespace: metadata(model::TENANT_NAMESPACE, namespaces.tenant),
                requests,
                held: Mutex::default(),
            }
        };
        let inner = Box::new(InMemoryNodeManagerBuilder::new(build)).build(context);
        let inner = inner.into_any_arc().downcast();
        let inner = inner.map_err(|_| "another node manager than was built".to_owned())?;
        Ok(Self {
            name: Self::name_of(&tenant.name),
            tenant,
            namespaces,
            inner,
            audit,
            told: Mutex::default(),
        })
    }

    /// Whether the one who asks is the tenant.
    fn is_for(&self, context: &RequestContext) -> bool {
        if context.token.0 != self.tenant.name {
            return false;
        }
        let shown = context.session().read();
        let shown = shown
            .client_certificate()
            .and_then(|shown| shown.to_der().ok());
        let shown = shown.map(|der| Fingerprint::of_der(&der));
        let is = shown.is_some_and(|shown| self.tenant.certificates.contains(&shown));
        self.tell(context.session_id, shown, is);
        is
    }

    /// Once for each login: in the task of a connection the library asks when one logs in, a new session or one that it
    /// takes along from another connection.
    fn tell(&self, session: u32, shown: Option<Fingerprint>, is: bool) {
        let login = self.audit.here().is_some();
        let mut told = lock(&self.told);
        if told.contains(&session) && !login {
            return;
        }
        told.push_back(session);
        if told.len() > SESSIONS_TOLD {
            told.pop_front();
        }
        drop(told);
        match shown {
            Some(shown) if is => self.audit.logged_in(shown, &self.tenant.name),
            _ => {
                let reason = "the user came with another certificate than the tenant's";
                self.audit.refuse_here(&self.tenant.name, reason);
            }
        }
    }

    /// Gives the tenant an award; the same again changes nothing, nor does an older one.
    pub(super) fn publish(&self, subscriptions: &SubscriptionCache, award: &Award) {
        let mut held = lock(&self.inner.inner().held);
        let older = held.awards.get(&award.interval);
        if older.is_some_and(|older| older.sequence >= award.sequence) {
            return;
        }
        held.awards.insert(award.interval, award.clone());
        while held.awards.len() > HELD {
            held.awards.pop_first();
        }
        held.publication = held.publication.wrapping_add(1);
        let id = |object, field| self.namespaces.id(&[&self.tenant.name, object, field]);
        let mut values: Vec<(NodeId, Variant)> = model::OBJECTS[0]
            .variables
            .iter()
            .zip(codec::award_out(award))
            .map(|(field, value)| (id(model::OBJECTS[0].name, field.name), value))
            .collect();
        let intervals = codec::i64s(held.awards.keys().copied());
        let revisions = codec::u32s(held.awards.values().map(|award| award.sequence));
        values.push((id("Held", "intervals"), intervals));
        values.push((id("Held", "revisions"), revisions));
        values.push((id("Held", "publication"), held.publication.into()));
        let values: Vec<(NodeId, DataValue)> = values
            .into_iter()
            .map(|(id, value)| (id, DataValue::new_now(value)))
            .collect();
        let set = values.iter().map(|(id, value)| (id, None, value.clone()));
        if let Err(error) = self.inner.set_values(subscriptions, set) {
            tracing::error!(%error, tenant = self.tenant.name, "award not published");
        }
    }
}

/// The indices of the two namespaces, which they get when they are asked for first.
pub(super) fn namespaces(context: &ServerContext) -> Namespaces {
    let mut tree = context.type_tree.write();
    Namespaces {
        folder: tree.namespaces_mut().add_namespace(model::NAMESPACE),
        tenant: tree.namespaces_mut().add_namespace(model::TENANT_NAMESPACE),
    }
}

pub(super) fn metadata(uri: &str, index: u16) -> NamespaceMetadata {
    NamespaceMetadata {
        namespace_uri: uri.to_owned(),
        namespace_index: index,
        ..NamespaceMetadata::default()
    }
}

#[async_trait]
impl NodeManager for TenantNodes {
    fn owns_node(&self, id: &NodeId) -> bool {
        let Identifier::String(path) = &id.identifier else {
            return false;
        };
        id.namespace == self.namespaces.tenant
            && model::tenant_of(path.as_ref()) == self.tenant.name
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn namespaces_for_user(&self, context: &RequestContext) -> Vec<NamespaceMetadata> {
        if self.is_for(context) {
            return self.inner.namespaces_for_user(context);
        }
        Vec::new()
    }

    async fn init(&self, type_tree: &mut DefaultTypeTree, context: ServerContext) {
        self.inner.init(type_tree, context).await;
    }

    async fn resolve_external_references(
        &self,
        context: &RequestContext,
        items: &mut [&mut ExternalReferenceRequest],
    ) {
        if self.is_for(context) {
            self.inner.resolve_external_references(context, items).await;
        }
    }

    async fn read(
        &self,
        context: &RequestContext,
        max_age: f64,
        timestamps: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        if !self.is_for(context) {
            return Err(StatusCode::BadNodeIdUnknown);
        }
        self.inner.read(context, max_age, timestamps, nodes).await
    }

    async fn browse(
        &self,
        context: &RequestContext,
        nodes: &mut [BrowseNode],
    ) -> Result<(), StatusCode> {
        if self.is_for(context) {
            return self.inner.browse(context, nodes).await;
        }
        Ok(())
    }

    async fn translate_browse_paths_to_node_ids(
        &self,
        context: &RequestContext,
        nodes: &mut [&mut BrowsePathItem],
    ) -> Result<(), StatusCode> {
        if !self.is_for(context) {
            return Ok(());
        }
        self.inner
            .translate_browse_paths_to_node_ids(context, nodes)
            .await
    }

    async fn create_monitored_items(
        &self,
        context: &RequestContext,
        items: &mut [&mut CreateMonitoredItem],
    ) -> Result<(), StatusCode> {
        if !self.is_for(context) {
            return Err(StatusCode::BadNodeIdUnknown);
        }
        self.inner.create_monitored_items(context, items).await
    }

    async fn modify_monitored_items(
        &self,
        context: &RequestContext,
        items: &[&MonitoredItemUpdateRef],
    ) {
        self.inner.modify_monitored_items(context, items).await;
    }

    async fn set_monitoring_mode(
        &self,
        context: &RequestContext,
        mode: MonitoringMode,
        items: &[&MonitoredItemRef],
    ) {
        self.inner.set_monitoring_mode(context, mode, items).await;
    }

    async fn delete_monitored_items(&self, context: &RequestContext, items: &[&MonitoredItemRef]) {
        self.inner.delete_monitored_items(context, items).await;
    }

    async fn call(
        &self,
        context: &RequestContext,
        methods: &mut [&mut MethodCall],
    ) -> Result<(), StatusCode> {
        if !self.is_for(context) {
            return Err(StatusCode::BadNodeIdUnknown);
        }
        self.inner.call(context, methods).await
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for Desk {
    async fn init(&self, _space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        &self.tenant
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        vec![self.namespace.clone()]
    }

    async fn call(
        &self,
        _context: &RequestContext,
        _space: &RwLock<AddressSpace>,
        methods: &mut [&mut &mut MethodCall],
    ) -> Result<(), StatusCode> {
        for call in methods {
            let method = call.method_id().clone();
            let Identifier::String(path) = &method.identifier else {
                continue;
            };
            let name = path.as_ref().rsplit('/').next().unwrap_or_default();
            match self.answer(name, call.arguments()).await {
                Ok(outputs) => {
                    call.set_outputs(outputs);
                    call.set_status(StatusCode::Good);
                }
                Err(status) => call.set_status(status),
            }
        }
        Ok(())
    }
}

impl Desk {
    async fn answer(
        &self,
        method: &str,
        arguments: &[Variant],
    ) -> Result<Vec<Variant>, StatusCode> {
        if let Some(document) = codec::document(method, arguments) {
            let answer = match document {
                Ok(document) => self.submit(document).await,
                Err(what) => Err(Refused::Invalid { what }),
            };
            return Ok(codec::answer_out(&answer));
        }
        let mut from = codec::Arguments::new(arguments);
        let invalid = |_| StatusCode::BadInvalidArgument;
        match method {
            "GetAward" => {
                let interval = from.i64().map_err(invalid)?;
                from.end().map_err(invalid)?;
                Ok(codec::held_out(lock(&self.held).awards.get(&interval)))
            }
            "Acknowledge" => {
                let (interval, sequence) =
                    (from.i64().map_err(invalid)?, from.u32().map_err(invalid)?);
                from.end().map_err(invalid)?;
                let tenant = self.tenant.clone();
                let request = Request::Acknowledged {
                    tenant,
                    interval,
                    sequence,
                };
                match timeout(KEEPING, self.requests.send(request)).await {
                    Ok(Ok(())) => Ok(Vec::new()),
                    _ => Err(StatusCode::BadServerHalted),
                }
            }
            _ => Err(StatusCode::BadMethodInvalid),
        }
    }

    async fn submit(&self, document: Up) -> Result<Receipt, Refused> {
        let unavailable = |reason: &str| Refused::Unavailable {
            reason: reason.to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        let tenant = self.tenant.clone();
        let request = Request::Submit {
            tenant,
            document,
            answer,
        };
        let kept = async {
            let sent = self.requests.send(request).await;
            sent.map_err(|_| unavailable("the market is not running"))?;
            answered
                .await
                .map_err(|_| unavailable("the market has not kept it"))?
        };
        let kept = timeout(KEEPING, kept).await;
        kept.unwrap_or_else(|_| Err(unavailable("the market takes too long")))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole when the lock is given back.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
