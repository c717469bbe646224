//! Every documented route answers as documented, to whoever asks.

use serde_json::{Value, json};

use super::{
    appliance::{Appliance, PASSWORD, SOUTH, START, login, order},
    client::{Answer, Client},
    schema::faults,
};

struct Operation {
    path: String,
    method: String,
    id: String,
    secured: bool,
    /// The example of its body.
    example: Value,
    responses: Value,
}

/// All of them, logout last.
fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let reference = content["schema"]["$ref"].as_str().unwrap_or("#/none");
            let schema = document.pointer(reference.trim_start_matches('#'));
            operations.push(Operation {
                example: schema.map_or(Value::Null, |schema| schema["example"].clone()),
                path: path
                    .replace("{start}", START)
                    .replace("{id}", "7")
                    .replace("{link}", "above")
                    .replace("{sha256}", SOUTH)
                    .replace("{tenant}", "north")
                    .replace("{user}", "eve")
                    .replace("{name}", "prosumers")
                    .replace("{meter}", "DE1")
                    .replace("ders/{unit}", "ders/9001")
                    .replace("{unit}", "93"),
                method: method.to_uppercase(),
                id: operation["operationId"].as_str().unwrap().to_owned(),
                secured: operation["security"] != json!([{}]),
                responses: operation["responses"].clone(),
            });
        }
    }
    operations.sort_by_key(|operation| operation.id == "logout");
    operations
}

impl Operation {
    async fn ask(&self, client: &Client, query: &str) -> Answer {
        let body = match &*self.id {
            "place_order" | "amend_order" => order(),
            "login" => login("ada", PASSWORD),
            "enrol" => json!({ "code": "used up", "user": "ada", "password": PASSWORD }),
            "add_user" => json!({ "user": "eve", "password": PASSWORD, "role": "viewer" }),
            "set_password" => json!({ "password": PASSWORD }),
            "give_values" => json!([]),
            "hold"
            | "switch_breaker"
            | "register_participant"
            | "register_der"
            | "register_meter"
            | "issue_token"
            | "judge_certificate"
            | "call_tenant" => self.example.clone(),
            _ => Value::Null,
        };
        let headers: &[_] = match body {
            Value::Null => &[],
            _ => &[("content-type", "application/json")],
        };
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("{}{query}", self.path);
        if self.id == "events" {
            let answer = client.open(&self.method, &path, headers, text).await;
            if answer.status() == 200 {
                return Answer {
                    status: answer.status(),
                    headers: answer.headers().clone(),
                    body: "".into(),
                };
            }
            return client.send(&self.method, &path, headers, "").await;
        }
        client.send(&self.method, &path, headers, text).await
    }

    /// Whether the answer's status, type and content are documented.
    fn check(&self, document: &Value, answer: &Answer) {
        let name = format!("{} {} {}", self.method, self.path, answer.status);
        let response = &self.responses[answer.status.as_str()];
        assert!(
            response.is_object(),
            "{name} is not documented: {:?}",
            answer.body
        );
        let kind = answer.header("content-type").split(';').next().unwrap();
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{name}: {:?}", answer.body);
            return;
        };
        let content = content
            .get(kind)
            .unwrap_or_else(|| panic!("{name}: {kind}"));
        if kind == "application/json" {
            let faults = faults(document, &content["schema"], &answer.json(), "");
            assert!(faults.is_empty(), "{name}: {faults:#?}");
        }
    }
}

#[tokio::test]
async fn every_route_answers_as_documented() {
    let mut appliance = Appliance::new("documented").await;
    let document = appliance.client.get("/api/openapi.json").await.json();
    assert_eq!(
        document,
        serde_json::to_value(edge::web::openapi()).unwrap()
    );
    let operations = operations(&document);
    assert!(operations.len() >= 24, "{}", operations.len());

    for operation in operations.iter().filter(|operation| operation.secured) {
        let answer = operation.ask(&appliance.client, "").await;
        operation.check(&document, &answer);
        answer.refused(403, "not_enrolled");
    }
    let enrolment = json!({ "code": appliance.code, "user": "ada", "password": PASSWORD });
    let enrolled = appliance.client.post("/api/v1/enrol", &enrolment).await;
    for operation in operations.iter().filter(|operation| operation.secured) {
        let answer = operation.ask(&appliance.client, "").await;
        operation.check(&document, &answer);
        answer.refused(401, "not_logged_in");
    }
    appliance.client.keep(&enrolled);
    for operation in &operations {
        let answer = operation.ask(&appliance.client, "?colour=red").await;
        operation.check(&document, &answer);
        answer.refused(422, "invalid_query");
        let answer = operation.ask(&appliance.client, "").await;
        operation.check(&document, &answer);
        let expected = match &*operation.id {
            // The participant is of the site file.
            "enrol" | "deregister_participant" => 409,
            // The path of both carries 7: an alarm, but no order; and eve was just removed.
            // There is an area in none but an area's appliance.
            // Nor is the unit registered yet.
            "amend_order" | "cancel_order" | "set_password" | "revoke_token" | "area"
            | "call_tenant" | "deregister_der" => 404,
            "place_order" | "add_user" | "issue_token" => 201,
            "logout" => 204,
            _ => 200,
        };
        assert_eq!(
            answer.status, expected,
            "{} {}",
            operation.method, operation.path
        );
    }
}

/// The examples in the document are ones that would be accepted.
#[test]
fn documented_examples_fit_their_schemas() {
    let document = serde_json::to_value(edge::web::openapi()).unwrap();
    let mut checked = 0;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if let Some(example) = schema.get("example") {
            let faults = faults(&document, schema, example, name);
            assert!(faults.is_empty(), "{faults:#?}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}
