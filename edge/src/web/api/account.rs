//! Enrolment, sessions, users.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who is logged in.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "enrolled": true, "user": "ada", "role": "operator" }))]
pub struct SessionView {
    /// Whether the first user has been set up; if not, only enrolment is possible.
    pub enrolled: bool,
    /// User, when logged in.
    pub user: Option<String>,
    /// `viewer` or `operator`, when logged in.
    pub role: Option<Role>,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, place orders, acknowledge alarms, add, change and remove users.
    Operator,
}

/// Sets up the first user with the one-time code.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "code": "mfrggzdfmztwq2lknnwg23tpob", "user": "ada", "password": "correct horse"
}))]
pub struct Enrolment {
    /// One-time code from the console.
    pub code: String,
    /// User name.
    pub user: String,
    /// Password, 10 characters or more.
    pub password: String,
}

/// Logs in.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "ada", "password": "correct horse" }))]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// A user to be added by an operator.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "user": "bob", "password": "correct horse", "role": "viewer" }))]
pub struct NewUser {
    /// User name.
    pub user: String,
    /// Password, 10 characters or more.
    pub password: String,
    /// What it may do.
    pub role: Role,
}

/// A user and what it may do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({ "user": "bob", "role": "viewer" }))]
pub struct UserAccount {
    /// User name.
    pub user: String,
    /// What it may do.
    pub role: Role,
}

/// A user's next password.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "password": "correct horse", "current": "staple battery" }))]
pub struct NewPassword {
    /// Password, 10 characters or more.
    pub password: String,
    /// The password before; needed for one's own.
    #[serde(default)]
    pub current: Option<String>,
}
