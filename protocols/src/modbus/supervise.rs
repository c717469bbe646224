//! The life of a Modbus device's task: connect, poll on a fixed schedule, carry out commands in
//! between, and on any failure drop the connection and come back after a growing pause. Everything
//! it waits for belongs to this one device.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::client::{Client, Link, LinkError};
use crate::{
    device::{Description, DeviceEvent, DeviceState, Ports},
    point::{Command, CommandStatus, Update},
};

/// What a kind of Modbus device does on an open connection.
pub(super) trait Session: Send {
    /// Learns what is there, after each connect.
    fn open(
        &mut self,
        client: &mut Client,
    ) -> impl Future<Output = Result<Option<Description>, LinkError>> + Send;

    /// Reads everything once.
    fn poll(
        &mut self,
        client: &mut Client,
    ) -> impl Future<Output = Result<Vec<Update>, LinkError>> + Send;

    /// Carries out a command. An error means that it may or may not have been carried out.
    fn command(
        &mut self,
        client: &mut Client,
        command: &Command,
    ) -> impl Future<Output = Result<CommandStatus, LinkError>> + Send;
}

/// Why a connection, or the task, ended.
enum End {
    /// Nobody listens any more.
    Unheard,
    Link(LinkError),
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Runs `session` until the ports' `stop` fires or nobody receives the events.
pub(super) async fn supervise(link: Link, session: impl Session, ports: Ports) {
    let stop = ports.stop.clone();
    let supervisor = Supervisor {
        retry: link.retry_min,
        link,
        session,
        ports,
    };
    stop.run_until_cancelled_owned(supervisor.run()).await;
}

struct Supervisor<S> {
    link: Link,
    session: S,
    ports: Ports,
    /// Wait after the next failure.
    retry: Duration,
}

impl<S: Session> Supervisor<S> {
    async fn run(mut self) {
        loop {
            let error = match self.connection().await {
                End::Unheard => return,
                End::Link(error) => error,
            };
            let retry_in = self.retry;
            self.retry = self.retry.saturating_mul(2).min(self.link.retry_max);
            tracing::debug!(device = %self.ports.device, %error, ?retry_in, "modbus device offline");
            let state = DeviceState::Offline {
                error: error.to_string(),
                retry_in,
            };
            let told = self.tell(DeviceEvent::State(state)).await;
            if told.is_err() || self.pause(retry_in).await.is_err() {
                return;
            }
        }
    }

    /// One connection from its opening to its end.
    async fn connection(&mut self) -> End {
        match self.serve().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        self.tell(DeviceEvent::State(DeviceState::Connecting))
            .await?;
        let mut client = Client::connect(&self.link).await?;
        let mut description = self.session.open(&mut client).await?;
        // Zero would panic, and mean "without pause".
        let mut schedule = interval(self.link.poll_interval.max(Duration::from_millis(1)));
        schedule.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut online = false;
        loop {
            tokio::select! {
                biased;
                // Commands first: where a poll takes longer than its interval, the next is always due.
                Some(command) = self.ports.commands.recv() => {
                    self.command(&mut client, &command).await?;
                }
                due = schedule.tick() => {
                    let begun = Instant::now();
                    let updates = self.session.poll(&mut client).await?;
                    let took = begun.elapsed();
                    if !online {
                        // An open connection proves nothing: the first answered poll does.
                        online = true;
                        self.retry = self.link.retry_min;
                        self.tell(DeviceEvent::State(DeviceState::Online)).await?;
                        if let Some(description) = description.take() {
                            self.tell(DeviceEvent::Described(description)).await?;
                        }
                    }
                    self.tell(DeviceEvent::Updates(updates)).await?;
                    let late = begun.duration_since(due);
                    self.tell(DeviceEvent::Polled { took, late }).await?;
                }
            }
        }
    }

    async fn command(&mut self, client: &mut Client, command: &Command) -> Result<(), End> {
        if (self.link.clock)() > command.expires_unix_us {
            let status = CommandStatus::NotSent("expired before it could be sent".into());
            return self.done(command, status).await;
        }
        match self.session.command(client, command).await {
            Ok(status) => self.done(command, status).await,
            Err(error) => {
                let status = CommandStatus::Unknown(error.to_string());
                self.done(command, status).await?;
                Err(error.into())
            }
        }
    }

    /// Waits, and turns down what is commanded meanwhile.
    async fn pause(&mut self, wait: Duration) -> Result<(), End> {
        let mut end = pin!(sleep(wait));
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                Some(command) = self.ports.commands.recv() => {
                    let status = CommandStatus::NotSent("the device is offline".into());
                    self.done(&command, status).await?;
                }
            }
        }
    }

    async fn done(&self, command: &Command, status: CommandStatus) -> Result<(), End> {
        self.tell(DeviceEvent::CommandDone {
            id: command.id,
            status,
        })
        .await
    }

    async fn tell(&self, event: DeviceEvent) -> Result<(), End> {
        let event = (self.ports.device.clone(), event);
        let sent = self.ports.events.send(event).await;
        sent.map_err(|_| End::Unheard)
    }
}
