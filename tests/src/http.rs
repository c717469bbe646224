//! A small HTTP client: JSON in and out, and the session cookie kept by hand.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body; `null` when empty or not JSON.
    pub body: Value,
}

/// A client of one server, logged in or not.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    cookie: Option<String>,
}

impl Client {
    /// A client of the server at `base`, e.g. `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(20)))
            .build()
            .into();
        Self {
            agent,
            base: base.trim_end_matches('/').to_owned(),
            cookie: None,
        }
    }

    /// GET `path`.
    ///
    /// # Errors
    /// When no answer comes; an error status is an answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        answer(request.call().with_context(|| format!("GET {path}"))?)
    }

    /// GET `path` and expect 200.
    ///
    /// # Errors
    /// When no answer comes or another status does.
    pub fn json(&self, path: &str) -> Result<Value> {
        let answer = self.get(path)?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// POST `body` to `path`.
    ///
    /// # Errors
    /// When no answer comes; an error status is an answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post_raw(path, "application/json", body.to_string().as_bytes())
    }

    /// POST bytes as they are.
    ///
    /// # Errors
    /// When no answer comes; an error status is an answer.
    pub fn post_raw(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", content_type);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        answer(request.send(body).with_context(|| format!("POST {path}"))?)
    }

    /// DELETE `path`.
    ///
    /// # Errors
    /// When no answer comes; an error status is an answer.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        answer(request.call().with_context(|| format!("DELETE {path}"))?)
    }

    /// POST that opens a session (enrolment or login) and keeps its cookie.
    ///
    /// # Errors
    /// When no session is opened.
    pub fn open_session(&mut self, path: &str, body: &Value) -> Result<()> {
        let response = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .send(body.to_string().as_bytes())
            .with_context(|| format!("POST {path}"))?;
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .map(str::to_owned);
        let answer = answer(response)?;
        if answer.status >= 300 || cookie.is_none() {
            bail!("POST {path}: {} {}", answer.status, answer.body);
        }
        self.cookie = cookie;
        Ok(())
    }

    /// Reads the event stream until `done` says so of an event's name and data.
    ///
    /// # Errors
    /// When the stream ends first.
    pub fn events(&self, path: &str, mut done: impl FnMut(&str, &Value) -> bool) -> Result<()> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.call().with_context(|| format!("GET {path}"))?;
        let mut name = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line?;
            if let Some(event) = line.strip_prefix("event:") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = serde_json::from_str(data.trim()).unwrap_or(Value::Null);
                if done(&name, &data) {
                    return Ok(());
                }
            }
        }
        bail!("the event stream ended")
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .read_to_string()
        .context("reading the answer")?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    })
}
