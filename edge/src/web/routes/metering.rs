//! Values of meters, accounts and invoices.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Deserialize;
use solver::market::{LedgerEntry, Party};
use utoipa::IntoParams;

use super::{
    super::{
        api::{AccountView, MeterReceipt, MeterValueView, NewMeterValue},
        app::App,
        extract::{Caller, Filter, Segment, Values, time_of},
        problem::{Limited, Read, ReadOne, Refusal, Replace, from_loop},
    },
    participants::own,
};
use crate::{
    clock::now_us,
    cycle::not_yours,
    invoice::{Invoice, account, of_ledger},
    metering::{Standing, Value, check, correct},
    participants::{ParticipantRole, Register},
    published::{Asker, Request},
    store::{Ledger, LedgerError},
};

/// Most values in a request.
const VALUES_MOST: usize = 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Starts {
    /// Only what starts from this moment on.
    #[param(example = "2026-06-21T00:00:00Z")]
    from: Option<String>,
    /// Only what starts before this moment.
    #[param(example = "2026-06-22T00:00:00Z")]
    to: Option<String>,
}

impl Starts {
    fn range(&self) -> Result<std::ops::Range<i64>, Refusal> {
        let moment = |text: &Option<String>, otherwise| -> Result<i64, Refusal> {
            let moment = text.as_deref().map(time_of).transpose()?;
            Ok(moment.map_or(otherwise, |moment| {
                // The first second that is not before it.
                moment.unix_timestamp() + i64::from(moment.nanosecond() > 0)
            }))
        };
        Ok(moment(&self.from, i64::MIN)?..moment(&self.to, i64::MAX)?)
    }
}

/// Takes values of meters: energy over 15 minutes or a market interval, as JSON or as CSV with the first line
/// `meter,start,length_s,delivered_wh,quality`. All of them, or none. Operators give them, and programs of
/// participants with the role `dso`. A value that is on record already changes nothing; another one for the
/// same meter and time takes its place. Intervals that are not settled yet are settled on it; what it changes in
/// others is on record as corrections.
#[utoipa::path(
    post, path = "/api/v1/market/meters/values", tag = "market",
    security(("session" = []), ("token" = [])),
    request_body(content(
        (Vec<NewMeterValue> = "application/json"),
        (String = "text/csv")
    )),
    responses((status = 200, description = "What became of them.", body = MeterReceipt), Replace, Limited)
)]
pub(super) async fn give_values(
    caller: Caller,
    State(app): State<App>,
    Values(values): Values,
) -> Result<Json<MeterReceipt>, Refusal> {
    let published = app.published();
    let by = may_give(caller.acts()?, &published.register)?;
    if values.len() > VALUES_MOST {
        let message = format!("{} values in a request", values.len());
        return Err(
            Refusal::invalid("too_many", message).accepted(format!("at most {VALUES_MOST}"))
        );
    }
    let interval_s = published.status.interval_s;
    for (k, value) in values.iter().enumerate() {
        check(value, &published.register, interval_s, now_us()).map_err(|mut problem| {
            problem.message = format!("value {k}: {}", problem.message);
            from_loop(problem, None)
        })?;
    }
    let permit = app.metering.acquire().await;
    let _permit = permit.map_err(|_| Refusal::internal())?;
    let given = count(values.len());
    let register = published.register.clone();
    let (values, corrections) = app
        .read(move |ledger| changes(ledger, &register, values))
        .await?;
    let of_settled = |of: &&LedgerEntry| matches!(of, LedgerEntry::Resettled { .. });
    let corrected = count(corrections.iter().filter(of_settled).count());
    let taken = count(values.len());
    let mut record = None;
    if !values.is_empty() {
        let ask = |answer| Request::MeterValues {
            values,
            corrections,
            by,
            answer,
        };
        record = app.ask(None, ask).await?.map(|receipt| receipt.record);
    }
    Ok(Json(MeterReceipt {
        taken,
        unchanged: given - taken,
        corrected,
        record,
    }))
}

/// Nobody's program gives the values that it is paid by, but the network operator's.
fn may_give(by: Asker, register: &Register) -> Result<Asker, Refusal> {
    if let Asker::Token { participant, .. } = &by {
        let known = register.participants.get(participant);
        if !known.is_some_and(|of| of.role == ParticipantRole::Dso) {
            let message = "values of meters are given by operators and by the role `dso`";
            return Err(from_loop(not_yours(participant, message), None));
        }
    }
    Ok(by)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Those values that are not on record, and what they change.
fn changes(
    ledger: &Ledger,
    register: &Register,
    values: Vec<Value>,
) -> Result<(Vec<Value>, Vec<LedgerEntry>), LedgerError> {
    let mut said: BTreeMap<(String, i64, u32), Value> = BTreeMap::new();
    let mut standing: BTreeMap<i64, Option<Standing>> = BTreeMap::new();
    let (mut new, mut corrections) = (Vec::new(), Vec::new());
    for value in values {
        let key = (value.meter.clone(), value.start, value.length_s);
        let before = match said.get(&key) {
            Some(before) => Some(before.clone()),
            None => on_record(ledger, &value)?,
        };
        said.insert(key, value.clone());
        if before.as_ref() == Some(&value) {
            continue;
        }
        if let Some(&unit) = register.meters.get(&value.meter) {
            let over = value.start..value.start + i64::from(value.length_s);
            for start in ledger.intervals(over.clone())? {
                if let std::collections::btree_map::Entry::Vacant(entry) = standing.entry(start) {
                    entry.insert(Standing::of(start, &ledger.interval(start)?));
                }
            }
            let within = standing.range_mut(over);
            let mut within: Vec<&mut Standing> = within.filter_map(|(_, of)| of.as_mut()).collect();
            corrections.extend(correct(&value, unit, &mut within));
        }
        new.push(value);
    }
    Ok((new, corrections))
}

fn on_record(ledger: &Ledger, value: &Value) -> Result<Option<Value>, LedgerError> {
    let said = ledger.meter_values(&value.meter, value.start..value.start + 1)?;
    let same_time = |of: &Value| of.length_s == value.length_s;
    Ok(said.into_iter().find(same_time))
}

/// What a meter has said last of each time, as it was given.
#[utoipa::path(
    get, path = "/api/v1/market/meters/{meter}/values", tag = "market",
    security(("session" = []), ("token" = [])),
    params(("meter" = String, Path, description = "The meter.", example = "DE0001"), Starts),
    responses((status = 200, description = "Oldest first.", body = Vec<MeterValueView>), ReadOne, Limited)
)]
pub(super) async fn values(
    caller: Caller,
    State(app): State<App>,
    meter: Segment,
    Filter(starts): Filter<Starts>,
) -> Result<Json<Vec<MeterValueView>>, Refusal> {
    let (meter, range) = (meter.text(), starts.range()?);
    let register = app.published().register.clone();
    let unit = register.meters.get(&meter);
    let Some(member) = unit.and_then(|unit| register.units.get(unit)) else {
        return Err(Refusal::not_found(
            "unknown_meter",
            "there is no such meter",
        ));
    };
    own(&caller, &member.der.participant)?;
    let said = app
        .read(move |ledger| ledger.meter_values(&meter, range))
        .await?;
    Ok(Json(said.into_iter().map(MeterValueView::from).collect()))
}

/// What everybody has received in all, less what it has paid: together nothing. To a participant's program,
/// its own.
#[utoipa::path(
    get, path = "/api/v1/market/accounts", tag = "market",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The network's last.", body = Vec<AccountView>), Read, Limited)
)]
pub(super) async fn accounts(
    caller: Caller,
    State(app): State<App>,
) -> Result<Json<Vec<AccountView>>, Refusal> {
    let accounts = app.read(Ledger::accounts).await?;
    let seen = accounts.into_iter().filter(|(party, _)| match party {
        Party::Participant(name) => caller.sees(name),
        _ => matches!(caller, Caller::User(_)),
    });
    let views = seen.map(|(party, balance)| AccountView {
        account: account(&party),
        balance_micro: micro(balance),
    });
    Ok(Json(views.collect()))
}

/// A balance, or the nearest that can be said.
pub(super) fn micro(balance: i128) -> i64 {
    let end = if balance < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(balance).unwrap_or(end)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OfPeriod {
    /// Only intervals that start from this moment on.
    #[param(example = "2026-06-01T00:00:00Z")]
    from: Option<String>,
    /// Only intervals that start before this moment.
    #[param(example = "2026-07-01T00:00:00Z")]
    to: Option<String>,
    /// Only of this participant.
    participant: Option<String>,
}

/// Invoices of a period: what everybody receives and pays for the intervals that start in it, by reason and
/// counterparty, with all corrections that were made since. Together they are exactly nothing. To a
/// participant's program, its own.
#[utoipa::path(
    get, path = "/api/v1/market/invoices", tag = "market",
    security(("session" = []), ("token" = [])),
    params(OfPeriod),
    responses((status = 200, description = "The network's last.", body = Vec<Invoice>), Read, Limited)
)]
pub(super) async fn invoices(
    caller: Caller,
    State(app): State<App>,
    Filter(period): Filter<OfPeriod>,
) -> Result<Json<Vec<Invoice>>, Refusal> {
    let OfPeriod {
        from,
        to,
        participant,
    } = period;
    if let Some(name) = &participant {
        own(&caller, name)?;
    }
    let only = match &caller {
        Caller::Token { participant, .. } => Some(participant.clone()),
        Caller::User(_) => participant,
    };
    let range = Starts { from, to }.range()?;
    let made = app
        .read(move |ledger| of_ledger(ledger, range, only.as_deref()))
        .await?;
    Ok(Json(made))
}
