//! Who may log in: a tenant's user with its password. That it comes with the tenant's own certificate is
//! looked at by [`TenantNodes`](super::nodes::TenantNodes), since here it is not shown.

use std::{io::Read, sync::Arc, time::Duration};

use async_trait::async_trait;
use opcua::{
    crypto::SecurityPolicy,
    server::{
        ServerEndpoint,
        authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id},
    },
    types::{
        Context, DynEncodable, EncodingResult, Error, NodeId, ObjectId, StatusCode, TypeLoader,
        TypeLoaderPriority, UAString, UserTokenPolicy, UserTokenType,
    },
};

use super::{Tenant, Verify, audit::AuditLog, connection::Step};

/// What a wrong password costs the one who tries it.
const PENALTY: Duration = Duration::from_secs(1);

pub(super) struct Guard {
    pub(super) tenants: Vec<Tenant>,
    pub(super) verify: Verify,
    pub(super) audit: Arc<AuditLog>,
}

#[async_trait]
impl AuthManager for Guard {
    async fn authenticate_username_identity_token(
        &self,
        _endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let tenant = self.tenants.iter().find(|tenant| tenant.user == username);
        let (verify, user) = (Arc::clone(&self.verify), username.to_owned());
        let password = password.get().to_owned();
        // Asked for an unknown user too, who shall not be told by how long it takes.
        let asked = tokio::task::spawn_blocking(move || verify(&user, &password)).await;
        match (tenant, asked) {
            (Some(tenant), Ok(true)) => {
                self.audit.reached(Step::Password);
                Ok(UserToken(tenant.name.clone()))
            }
            _ => {
                tokio::time::sleep(PENALTY).await;
                let user: String = username.chars().take(64).collect();
                self.audit.refuse_here(&user, "wrong user or password");
                Err(Error::new(
                    StatusCode::BadIdentityTokenRejected,
                    "wrong user or password",
                ))
            }
        }
    }

    fn supports_user_pass(&self, _endpoint: &ServerEndpoint) -> bool {
        self.audit.reached(Step::Signed);
        true
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        self.audit.asked();
        vec![UserTokenPolicy {
            policy_id: user_pass_security_policy_id(endpoint),
            token_type: UserTokenType::UserName,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: SecurityPolicy::Basic256Sha256.to_uri().into(),
        }]
    }
}

/// Sees which identities come, and reads nothing.
pub(super) struct Identities(pub(super) Arc<AuditLog>);

impl TypeLoader for Identities {
    fn load_from_binary(
        &self,
        id: &NodeId,
        _: &mut dyn Read,
        _: &Context<'_>,
        _: Option<usize>,
    ) -> Option<EncodingResult<Box<dyn DynEncodable>>> {
        let is = |kind: ObjectId| *id == kind;
        if is(ObjectId::UserNameIdentityToken_Encoding_DefaultBinary) {
            self.0.reached(Step::Named);
        } else if is(ObjectId::AnonymousIdentityToken_Encoding_DefaultBinary)
            || is(ObjectId::X509IdentityToken_Encoding_DefaultBinary)
        {
            self.0.reached(Step::Nameless);
        }
        None
    }

    fn priority(&self) -> TypeLoaderPriority {
        TypeLoaderPriority::Core
    }
}
