//! What the tests of devices share: a running task with its events at hand.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    reason = "every test binary uses a part of this"
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use protocols::{
    device::{DeviceEvent, DeviceState, Ports, system_clock},
    modbus::{
        Link,
        server::{RegisterServer, Registers, ServerConfig},
    },
    point::{Action, Command, CommandStatus, DeviceId, Origin, PointId, Quality, Update, Value},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for any machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// A device task under test.
pub(crate) struct Running {
    pub(crate) events: mpsc::Receiver<(DeviceId, DeviceEvent)>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) last: HashMap<String, Update>,
    next_id: u64,
    _stop: DropGuard,
}

impl Running {
    /// Starts a task on the ports it is given.
    pub(crate) fn start<F>(name: &str, run: impl FnOnce(Ports) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (event_tx, events) = mpsc::channel(64);
        let (commands, command_rx) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(run(Ports {
            device: DeviceId::new(name),
            events: event_tx,
            commands: command_rx,
            stop: stop.clone(),
        }));
        Self {
            events,
            commands,
            last: HashMap::new(),
            next_id: 1,
            _stop: stop.drop_guard(),
        }
    }

    /// The next event; keeps the values it brings.
    pub(crate) async fn event(&mut self) -> DeviceEvent {
        let received = timeout(PATIENCE, self.events.recv()).await;
        let (_, event) = received.expect("an event").expect("a running task");
        if let DeviceEvent::Updates(updates) = &event {
            for update in updates {
                let name = update.point.name().to_owned();
                self.last.insert(name, update.clone());
            }
        }
        event
    }

    /// Waits for an event that `wanted` makes something of.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(DeviceEvent) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                if let Some(found) = wanted(self.event().await) {
                    return found;
                }
            }
        })
        .await
        .expect("the awaited event")
    }

    pub(crate) async fn until_online(&mut self) {
        self.until(|event| (event == DeviceEvent::State(DeviceState::Online)).then_some(()))
            .await;
    }

    /// Waits for the device to be offline; the reason.
    pub(crate) async fn until_offline(&mut self) -> String {
        self.until(|event| match event {
            DeviceEvent::State(DeviceState::Offline { error, .. }) => Some(error),
            _ => None,
        })
        .await
    }

    /// Waits for a whole poll that began after this call.
    pub(crate) async fn poll(&mut self) {
        for _ in 0..2 {
            self.until(|event| matches!(event, DeviceEvent::Polled { .. }).then_some(()))
                .await;
        }
    }

    /// Commands and waits for what becomes of it.
    pub(crate) async fn command(&mut self, point: &str, action: Action) -> CommandStatus {
        let expires_unix_us = system_clock() + 60_000_000;
        self.command_expiring(point, action, expires_unix_us).await
    }

    pub(crate) async fn command_expiring(
        &mut self,
        point: &str,
        action: Action,
        expires_unix_us: i64,
    ) -> CommandStatus {
        let id = self.next_id;
        self.next_id += 1;
        let command = Command {
            id,
            point: PointId::parse(point),
            action,
            origin: Origin::Market,
            expires_unix_us,
        };
        self.commands.send(command).await.expect("a running task");
        self.until(|event| match event {
            DeviceEvent::CommandDone { id: done, status } if done == id => Some(status),
            _ => None,
        })
        .await
    }

    /// Last good analog value of `name`.
    pub(crate) fn analog(&self, name: &str) -> f64 {
        let update = self.last.get(name).expect(name);
        assert_eq!(update.quality, Quality::GOOD, "{name}");
        match update.value {
            Value::Analog(value) => value,
            other => panic!("{name} is {other:?}"),
        }
    }

    pub(crate) fn quality(&self, name: &str) -> Quality {
        self.last.get(name).expect(name).quality
    }

    pub(crate) fn value(&self, name: &str) -> Value {
        self.last.get(name).expect(name).value
    }
}

/// A link that polls fast and does not wait long.
pub(crate) fn quick(address: SocketAddr) -> Link {
    Link {
        poll_interval: Duration::from_millis(20),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        ..Link::new(address.to_string())
    }
}

/// A server on a free port.
pub(crate) async fn serve<R: Registers>(registers: &Arc<R>) -> RegisterServer {
    let address = ANY_PORT.parse().unwrap();
    RegisterServer::bind(address, Arc::clone(registers), ServerConfig::default())
        .await
        .unwrap()
}

/// Locks what a test shares with a server.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap()
}
