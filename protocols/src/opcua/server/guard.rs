//! Who may log in: a tenant's user with its password. That it comes with the tenant's own certificate is
//! looked at by [`TenantNodes`](super::nodes::TenantNodes), since here it is not shown.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use opcua::{
    crypto::SecurityPolicy,
    server::{
        ServerEndpoint,
        authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id},
    },
    types::{Error, StatusCode, UAString, UserTokenPolicy, UserTokenType},
};

use super::{Tenant, Verify, audit::AuditLog};

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
            (Some(tenant), Ok(true)) => Ok(UserToken(tenant.name.clone())),
            _ => {
                tokio::time::sleep(PENALTY).await;
                let user: String = username.chars().take(64).collect();
                self.audit.refused("", &user, "wrong user or password");
                Err(Error::new(
                    StatusCode::BadIdentityTokenRejected,
                    "wrong user or password",
                ))
            }
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        vec![UserTokenPolicy {
            policy_id: user_pass_security_policy_id(endpoint),
            token_type: UserTokenType::UserName,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: SecurityPolicy::Basic256Sha256.to_uri().into(),
        }]
    }
}
