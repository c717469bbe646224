//! Reports (IEC 61850-7-2, 17): control blocks are enabled, what they send becomes updates, change by change.
//!
//! A buffered block is told the last entry that was taken over, and goes on after it: what happened while there
//! was no connection comes late, but comes. It is interrogated with each poll rather than given an integrity
//! period: integrity reports would go on filling its buffer, and push events out, while nobody is there.

use std::{collections::HashSet, sync::Arc, time::Duration};

use iec61850_client::{ClientReport, RcbHandle, RcbWriteMask, ReportOptFlds, TriggerOptions, rcb};
use iec61850_model::MmsValue;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Reference,
    association::{Association, Failure, Lost},
    device::{Ied, Unheard},
};
use crate::point::{TimeQuality, Timestamp};

/// A block that could not be enabled is tried again after this.
const RETRY: Duration = Duration::from_secs(30);
/// One listens for so long before one looks what is due.
const LISTEN: Duration = Duration::from_millis(200);

/// What blocks carry.
fn fields(buffered: bool) -> ReportOptFlds {
    let fields = ReportOptFlds::SEQUENCE_NUMBER
        | ReportOptFlds::REPORT_TIMESTAMP
        | ReportOptFlds::REASON_FOR_INCLUSION
        | ReportOptFlds::DATA_SET_NAME
        | ReportOptFlds::CONF_REV;
    match buffered {
        true => fields | ReportOptFlds::BUFFER_OVERFLOW | ReportOptFlds::ENTRY_ID,
        false => fields,
    }
}

/// Why listening ended.
pub(super) enum End {
    Lost(Lost),
    Unheard,
}

impl From<Unheard> for End {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

/// A block that is enabled.
struct Block {
    /// As its reports call it.
    id: String,
    /// As the site calls it.
    reference: Reference,
    /// Paths of the data set's members.
    members: Vec<String>,
    /// Interrogated with each poll: nothing else makes it send everything.
    interrogate: bool,
    heard: Instant,
    /// Its first report has not come yet.
    fresh: bool,
}

/// Whether a report says that events are missing. The first after enabling says so whatever is the case (7-2,
/// 17.2.3.2.2.8): either nobody had listened before, or the block still had the entry to go on after, and with it
/// all that are newer. `last`: no segment of the report is left.
fn are_missing(fresh: &mut bool, overflow: Option<bool>, last: bool) -> bool {
    let began = *fresh;
    *fresh &= !last;
    overflow == Some(true) && !began
}

type Reports = mpsc::UnboundedReceiver<(usize, Arc<ClientReport>)>;
type Tell = mpsc::UnboundedSender<(usize, Arc<ClientReport>)>;

/// The association that reports come by.
pub(super) struct Listener<'i> {
    ied: &'i Ied,
    association: Arc<Association>,
    blocks: Vec<Block>,
    /// Those that the IED refused: the site's, and when to try again.
    refused: Vec<(Reference, Instant)>,
    tell: Tell,
    reports: Reports,
}

impl<'i> Listener<'i> {
    /// Enables all blocks. What one refuses is logged, and read with each poll instead.
    pub(super) async fn start(ied: &'i Ied, association: Arc<Association>) -> Result<Self, Lost> {
        // Never longer than what one listening brings.
        let (tell, reports) = mpsc::unbounded_channel();
        let mut listener = Self {
            ied,
            association,
            blocks: Vec::new(),
            refused: Vec::new(),
            tell,
            reports,
        };
        for reference in &ied.config.map.reports {
            listener.enable_or_note(reference).await?;
        }
        Ok(listener)
    }

    async fn enable_or_note(&mut self, reference: &Reference) -> Result<(), Lost> {
        match self.enable(reference).await {
            Ok(()) => Ok(()),
            Err(Failure::Refused(why)) => {
                let device = &self.ied.device;
                tracing::warn!(%device, report = %reference, why, "report control block not enabled; its points are read instead");
                self.refused
                    .push((reference.clone(), Instant::now() + RETRY));
                Ok(())
            }
            Err(Failure::Lost(lost)) => Err(lost),
        }
    }

    async fn enable(&mut self, reference: &Reference) -> Result<(), Failure> {
        let ied = self.ied;
        let name = ied.block_reference(reference);
        let (mut block, members) = self.look_at(&name).await?;
        let interrogate = self.set_up(&mut block).await?;
        if block.is_buffered() {
            self.resume(&mut block, reference).await?;
        }
        let id = block.rpt_id().filter(|id| !id.is_empty());
        let id = id.unwrap_or(&name).replace('.', "$");
        if self.blocks.iter().any(|block| block.id == id) {
            return Err(Failure::Refused(format!("another has the id {id} too")));
        }
        self.subscribe(&name, &id).await;
        block.set_rpt_ena(true);
        self.set(&block, RcbWriteMask::RPT_ENA).await?;
        block.set_gi(true);
        self.set(&block, RcbWriteMask::GI).await?;
        ied.reported(members.iter().map(String::as_str));
        self.blocks.push(Block {
            id,
            reference: reference.clone(),
            members,
            interrogate,
            heard: Instant::now(),
            fresh: true,
        });
        Ok(())
    }

    /// A block as it is, and the paths of its data set's members.
    async fn look_at(&self, name: &str) -> Result<(RcbHandle, Vec<String>), Failure> {
        let (ied, place) = (self.ied, &self.ied.config.place);
        let block = place.ask(self.association.get_rcb_values(name)).await?;
        let set = block.data_set_reference().unwrap_or_default();
        if set.is_empty() {
            return Err(Failure::Refused("it has no data set".into()));
        }
        let set = set.replace('$', ".");
        let directory = place.ask(self.association.get_data_set_directory(&set));
        let directory = directory.await?.members;
        let members = directory.iter();
        let members: Option<Vec<String>> =
            members.map(|m| ied.path_of(&m.reference, m.fc)).collect();
        let unread = || Failure::Refused("its data set cannot be read".into());
        Ok((block, members.ok_or_else(unread)?))
    }

    /// Has a block send what it shall, when it shall, and whether it must be interrogated with each poll. Sets
    /// only what differs: setting empties a buffer (7-2, 17.2.2).
    async fn set_up(&self, block: &mut RcbHandle) -> Result<bool, Failure> {
        let buffered = block.is_buffered();
        let mut triggers =
            TriggerOptions::DATA_CHANGED | TriggerOptions::QUALITY_CHANGED | TriggerOptions::GI;
        if !buffered {
            triggers |= TriggerOptions::INTEGRITY;
            block.set_resv(true);
            self.try_set(block, RcbWriteMask::RESV).await?;
        }
        let were = block.trg_ops();
        if were != triggers {
            block.set_trg_ops(triggers);
            if !self.try_set(block, RcbWriteMask::TRG_OPS).await? {
                block.set_trg_ops(were);
            }
        }
        if !block.trg_ops().contains(TriggerOptions::GI) {
            return Err(Failure::Refused("it cannot be interrogated".into()));
        }
        if block.opt_flds() != fields(buffered) {
            block.set_opt_flds(fields(buffered));
            self.try_set(block, RcbWriteMask::OPT_FLDS).await?;
        }
        if buffered || !block.trg_ops().contains(TriggerOptions::INTEGRITY) {
            return Ok(true);
        }
        let poll = u32::try_from(self.ied.config.poll.as_millis());
        block.set_intg_pd_ms(poll.unwrap_or(u32::MAX));
        Ok(!self.try_set(block, RcbWriteMask::INTG_PD).await?)
    }

    /// Tells a buffered block where to go on.
    async fn resume(&self, block: &mut RcbHandle, reference: &Reference) -> Result<(), Failure> {
        let Some(entry) = self.ied.entry(reference) else {
            return Ok(());
        };
        // Longer than the crate takes is nothing that a block gave.
        let zero = vec![0; entry.len()];
        for entry in [entry, zero] {
            if block.set_entry_id(Some(entry)).is_ok()
                && self.try_set(block, RcbWriteMask::ENTRY_ID).await?
            {
                return Ok(());
            }
            // The entry is no longer there: all that is left is newer.
            let device = &self.ied.device;
            tracing::warn!(%device, report = %reference, "the buffer has lost the entry to go on after; events may be missing");
        }
        Ok(())
    }

    async fn subscribe(&self, name: &str, id: &str) {
        let (tell, number) = (self.tell.clone(), self.blocks.len());
        let callback = Arc::new(move |report| {
            // Fails only when the listener has gone, and nobody listens.
            let _ = tell.send((number, report));
        });
        let id = Some(id.to_owned());
        let installed = self
            .association
            .install_report_handler(id, name, None, callback);
        if let Err(error) = installed.await {
            tracing::warn!(device = %self.ied.device, %error, "reports cannot be told apart");
        }
    }

    async fn set(&self, block: &RcbHandle, what: RcbWriteMask) -> Result<(), Failure> {
        let place = &self.ied.config.place;
        place
            .ask(rcb::set_rcb_values(&self.association, block, what, false))
            .await
    }

    /// Whether it took.
    async fn try_set(&self, block: &RcbHandle, what: RcbWriteMask) -> Result<bool, Failure> {
        match self.set(block, what).await {
            Ok(()) => Ok(true),
            Err(Failure::Refused(why)) => {
                let device = &self.ied.device;
                tracing::debug!(%device, block = block.object_reference(), ?what, why, "not set");
                Ok(false)
            }
            Err(lost) => Err(lost),
        }
    }

    /// Listens until the association is over.
    pub(super) async fn run(mut self) -> End {
        let mut due = Instant::now() + self.ied.config.poll;
        loop {
            if let Err(end) = self.listen(due).await {
                return end;
            }
            if Instant::now() < due {
                continue;
            }
            due = Instant::now() + self.ied.config.poll;
            if let Err(lost) = self.look_after().await {
                return End::Lost(lost);
            }
        }
    }

    /// Listens for a while; what comes is passed on at once.
    async fn listen(&mut self, due: Instant) -> Result<(), End> {
        let association = Arc::clone(&self.association);
        let wait = LISTEN.min(due.saturating_duration_since(Instant::now()));
        let listening = association.poll_reports(wait.max(Duration::from_millis(1)));
        tokio::pin!(listening);
        loop {
            let (number, report) = tokio::select! {
                biased;
                Some(report) = self.reports.recv() => report,
                ended = &mut listening => match ended {
                    Ok(_) => break,
                    Err(error) => return Err(End::Lost(Lost(format!("reports: {error}")))),
                },
            };
            self.take(number, &report).await?;
        }
        while let Ok((number, report)) = self.reports.try_recv() {
            self.take(number, &report).await?;
        }
        Ok(())
    }

    /// One report, or one segment of one.
    async fn take(&mut self, number: usize, report: &ClientReport) -> Result<(), Unheard> {
        let Some(block) = self.blocks.get_mut(number) else {
            return Ok(());
        };
        block.heard = Instant::now();
        let sent = report.timestamp_ms.and_then(|ms| i64::try_from(ms).ok());
        let sent = sent.map_or_else(
            || Timestamp::received((self.ied.config.clock)()),
            |ms| Timestamp {
                unix_us: ms.saturating_mul(1000),
                quality: TimeQuality::Source,
            },
        );
        let last = report
            .segmentation
            .as_ref()
            .is_none_or(|s| !s.more_segments_follow);
        if are_missing(&mut block.fresh, report.buf_ovfl, last) {
            let device = &self.ied.device;
            tracing::warn!(%device, report = %block.reference, "the buffer has overflowed; events are missing");
        }
        let values = report.data_set_values.iter().zip(&report.included);
        let values = block.members.iter().zip(values);
        let values = values.filter_map(|(path, (value, included))| {
            let value: &MmsValue = value.as_ref().filter(|_| *included)?;
            Some((path.as_str(), value))
        });
        self.ied.take(values, sent).await?;
        if let (Some(entry), true) = (&report.entry_id, last) {
            self.ied.remember(&block.reference, entry.clone());
        }
        Ok(())
    }

    /// With each poll: interrogates, looks whether all blocks still send, tries again what was refused.
    async fn look_after(&mut self) -> Result<(), Lost> {
        let silence = 3 * self.ied.config.poll + self.ied.config.place.timeout;
        for block in &self.blocks {
            if block.heard.elapsed() > silence {
                return Err(Lost(format!("{} sends no reports", block.reference)));
            }
            if block.interrogate {
                let name = self.ied.block_reference(&block.reference);
                let asked = self.association.trigger_grefcb(&name);
                match self.ied.config.place.ask(asked).await {
                    Ok(()) | Err(Failure::Refused(_)) => {}
                    Err(Failure::Lost(lost)) => return Err(lost),
                }
            }
        }
        let now = Instant::now();
        let due: HashSet<Reference> = self
            .refused
            .extract_if(.., |(_, at)| *at <= now)
            .map(|(r, _)| r)
            .collect();
        for reference in due {
            self.enable_or_note(&reference).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::are_missing;

    #[test]
    fn what_the_first_report_after_enabling_says_of_losses_means_nothing() {
        // Both segments of the first, then one without and one with a loss.
        let mut fresh = true;
        let reports = [
            (Some(true), false, false),
            (Some(true), true, false),
            (Some(false), true, false),
            (Some(true), true, true),
        ];
        for (overflow, last, expected) in reports {
            assert_eq!(are_missing(&mut fresh, overflow, last), expected);
        }
        assert!(!are_missing(&mut false, None, true));
    }
}
