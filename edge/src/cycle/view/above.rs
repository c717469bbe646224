//! The market above as the public API shows it.

use protocols::opcua::message::{Award, Basis, Voltage};

use crate::{
    above::{Fallback, Interval, Link, Tenant},
    clock::{rfc3339, rfc3339_s},
    site::Above,
    web::api::{
        AboveAwardView, AboveIntervalView, AboveView, CornerView, VoltageCornerView, VoltageView,
    },
};

pub(crate) fn above(site: &Above, of: &Tenant, link: &Link) -> AboveView {
    let tenant = of.name();
    let intervals = of.intervals().rev();
    AboveView {
        endpoint: site.endpoint.clone(),
        tenant: tenant.to_owned(),
        connected: link.up,
        since: rfc3339(link.since_us),
        reason: link.reason.clone(),
        clock_ms: link.clock_ms,
        certificate_days: link.certificate_days,
        fallback: match site.terms.fallback {
            Fallback::LastAward => "last_award",
            Fallback::Schedule => "schedule",
            Fallback::Zero => "zero",
        }
        .to_owned(),
        unsent: u32::try_from(of.unsent()).unwrap_or(u32::MAX),
        intervals: intervals
            .map(|(start, of)| interval(start, of, tenant))
            .collect(),
    }
}

fn interval(start: i64, of: &Interval, tenant: &str) -> AboveIntervalView {
    let offer = of.offer.as_ref();
    let curve = offer.iter().flat_map(|offer| &offer.curve);
    let closing = of.closing.as_ref();
    let total = of.total.as_ref();
    let refused = of.answered.iter().filter_map(|((document, _), refused)| {
        let refused = refused.as_ref()?;
        Some(format!("{document}: {refused}"))
    });
    AboveIntervalView {
        start: rfc3339_s(start),
        offer: curve
            .map(|corner| CornerView {
                exchange_w: corner.exchange_w,
                price_per_mwh: per_mwh(corner.price),
                q_var: corner.q_var,
            })
            .collect(),
        voltage: offer.and_then(|of| of.voltage.as_ref()).map(voltage),
        forecast_w: offer.map(|of| of.forecast_w),
        q_min_var: offer.map(|of| of.q_min_var),
        q_max_var: offer.map(|of| of.q_max_var),
        awards: of.awards.iter().map(award).collect(),
        basis: closing.map(|of| basis(of.basis).to_owned()),
        award: closing.and_then(|of| of.award),
        exchange_w: closing.map(|of| of.exchange_w),
        price_per_mwh: closing.map(|of| per_mwh(of.price)),
        import_wh: total.map(|of| of.import_wh),
        export_wh: total.map(|of| of.export_wh),
        replaced: total.map(|of| of.replaced),
        refused: refused.collect(),
        hash: of.account(tenant).map(|of| of.sha256_text()),
        agreed: of.differs(tenant).map(|differs| !differs),
    }
}

fn award((of, unused): &(Award, Option<String>)) -> AboveAwardView {
    AboveAwardView {
        sequence: of.sequence,
        exchange_w: of.exchange_w,
        called_w: of.called_w,
        price_per_mwh: per_mwh(of.price),
        grid_fee_per_mwh: per_mwh(of.grid_fee),
        q_var: of.q_var,
        u_pu: of.u_ppm.map(pu),
        import_max_w: of.import_max_w,
        export_max_w: of.export_max_w,
        limits: of.limits.clone(),
        unused: unused.clone(),
    }
}

/// What a voltage is worth, as the public API shows it.
pub(crate) fn voltage(of: &Voltage) -> VoltageView {
    let corner = |&(u_ppm, cost): &(i64, i64)| VoltageCornerView {
        u_pu: pu(u_ppm),
        cost_per_h: cost as f64 / 1e6,
    };
    VoltageView {
        r_ohm: of.r_ohm,
        x_ohm: of.x_ohm,
        corners: of.corners.iter().map(corner).collect(),
    }
}

/// Of millionths.
pub(crate) fn pu(u_ppm: i64) -> f64 {
    u_ppm as f64 / 1e6
}

fn per_mwh(micro: i64) -> f64 {
    micro as f64 / 1e6
}

/// As in records and the API.
pub(super) fn basis(of: Basis) -> &'static str {
    match of {
        Basis::Award => "award",
        Basis::LastAward => "last_award",
        Basis::Schedule => "schedule",
        Basis::Zero => "zero",
    }
}
