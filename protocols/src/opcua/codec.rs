//! Documents to and from the arguments of methods, as [`model`](super::model) lists them.

use opcua::types::{Array, Variant, VariantScalarTypeId};

use super::message::{
    Aggregated, Award, Basis, Closing, Corner, Offer, Receipt, Refused, State, Total, Up, Voltage,
};

/// Arguments, taken from the front one by one.
pub(super) struct Arguments<'a>(std::slice::Iter<'a, Variant>);

type Taken<T> = Result<T, String>;

impl<'a> Arguments<'a> {
    pub(super) fn new(of: &'a [Variant]) -> Self {
        Self(of.iter())
    }

    fn next(&mut self) -> Taken<&'a Variant> {
        self.0
            .next()
            .ok_or_else(|| "an argument is missing".to_owned())
    }

    pub(super) fn i64(&mut self) -> Taken<i64> {
        match self.next()? {
            Variant::Int64(value) => Ok(*value),
            other => Err(format!("not an Int64: {:?}", other.type_id())),
        }
    }

    pub(super) fn u32(&mut self) -> Taken<u32> {
        match self.next()? {
            Variant::UInt32(value) => Ok(*value),
            other => Err(format!("not a UInt32: {:?}", other.type_id())),
        }
    }

    fn f64(&mut self) -> Taken<f64> {
        match self.next()? {
            Variant::Double(value) if value.is_finite() => Ok(*value),
            other => Err(format!("not a finite Double: {:?}", other.type_id())),
        }
    }

    fn bool(&mut self) -> Taken<bool> {
        match self.next()? {
            Variant::Boolean(value) => Ok(*value),
            other => Err(format!("not a Boolean: {:?}", other.type_id())),
        }
    }

    fn string(&mut self) -> Taken<String> {
        text(self.next()?)
    }

    pub(super) fn array<T>(&mut self, element: impl Fn(&Variant) -> Taken<T>) -> Taken<Vec<T>> {
        match self.next()? {
            Variant::Array(array) if array.dimensions.as_ref().is_none_or(|d| d.len() < 2) => {
                array.values.iter().map(element).collect()
            }
            // How some clients send an array without elements.
            Variant::Empty => Ok(Vec::new()),
            other => Err(format!("not an array: {:?}", other.type_id())),
        }
    }

    /// That nothing is left.
    pub(super) fn end(mut self) -> Taken<()> {
        self.0
            .next()
            .map_or(Ok(()), |_| Err("too many arguments".to_owned()))
    }
}

pub(super) fn i64_of(value: &Variant) -> Taken<i64> {
    Arguments::new(std::slice::from_ref(value)).i64()
}

pub(super) fn u32_of(value: &Variant) -> Taken<u32> {
    Arguments::new(std::slice::from_ref(value)).u32()
}

fn text(value: &Variant) -> Taken<String> {
    match value {
        Variant::String(text) => Ok(text.as_ref().to_owned()),
        other => Err(format!("not a String: {:?}", other.type_id())),
    }
}

fn array(kind: VariantScalarTypeId, values: impl Iterator<Item = Variant>) -> Variant {
    let values: Vec<Variant> = values.collect();
    Array::new(kind, values).map_or(Variant::Empty, |array| Variant::Array(Box::new(array)))
}

pub(super) fn i64s(values: impl Iterator<Item = i64>) -> Variant {
    array(VariantScalarTypeId::Int64, values.map(Variant::Int64))
}

pub(super) fn u32s(values: impl Iterator<Item = u32>) -> Variant {
    array(VariantScalarTypeId::UInt32, values.map(Variant::UInt32))
}

pub(super) fn strings<'t>(values: impl IntoIterator<Item = &'t String>) -> Variant {
    let values = values
        .into_iter()
        .map(|text| Variant::String(text.as_str().into()));
    array(VariantScalarTypeId::String, values)
}

/// The method that takes a document, and with which arguments.
pub(super) fn call_of(document: &Up) -> (&'static str, Vec<Variant>) {
    match document {
        Up::Offer(offer) => ("SubmitBid", offer_out(offer)),
        Up::Closing(closing) => ("SubmitClosing", closing_out(closing)),
        Up::Total(total) => ("SubmitTotal", total_out(total)),
    }
}

/// The document that a method was called with; none where the method takes none.
pub(super) fn document(method: &str, of: &[Variant]) -> Option<Taken<Up>> {
    let mut arguments = Arguments::new(of);
    let read = match method {
        "SubmitBid" => offer_in(&mut arguments).map(Up::Offer),
        "SubmitClosing" => closing_in(&mut arguments).map(Up::Closing),
        "SubmitTotal" => total_in(&mut arguments).map(Up::Total),
        _ => return None,
    };
    Some(read.and_then(|document| arguments.end().map(|()| document)))
}

fn offer_out(offer: &Offer) -> Vec<Variant> {
    let corners = || offer.curve.iter();
    let voltage = offer.voltage.as_ref();
    let voltages = || voltage.into_iter().flat_map(|of| &of.corners);
    vec![
        offer.interval.into(),
        offer.length_s.into(),
        offer.sequence.into(),
        i64s(corners().map(|corner| corner.exchange_w)),
        i64s(corners().map(|corner| corner.price)),
        i64s(corners().map(|corner| corner.q_var)),
        offer.q_min_var.into(),
        offer.q_max_var.into(),
        offer.forecast_w.into(),
        offer.state.observed.into(),
        offer.state.sigma_max_pu.into(),
        strings(&offer.state.limits),
        offer.state.islanded.into(),
        i64s(voltages().map(|&(u_ppm, _)| u_ppm)),
        i64s(voltages().map(|&(_, cost)| cost)),
        voltage.map_or(0.0, |of| of.r_ohm).into(),
        voltage.map_or(0.0, |of| of.x_ohm).into(),
    ]
}

/// Without corners there is none.
fn voltage_in(from: &mut Arguments<'_>) -> Taken<Option<Voltage>> {
    let (u_ppm, cost) = (from.array(i64_of)?, from.array(i64_of)?);
    if u_ppm.len() != cost.len() {
        return Err("the arrays of the voltage's corners differ in length".to_owned());
    }
    let (r_ohm, x_ohm) = (from.f64()?, from.f64()?);
    let corners: Vec<(i64, i64)> = u_ppm.into_iter().zip(cost).collect();
    Ok((!corners.is_empty()).then_some(Voltage {
        r_ohm,
        x_ohm,
        corners,
    }))
}

fn offer_in(from: &mut Arguments<'_>) -> Taken<Offer> {
    let (interval, length_s, sequence) = (from.i64()?, from.u32()?, from.u32()?);
    let (exchange, price) = (from.array(i64_of)?, from.array(i64_of)?);
    let reactive = from.array(i64_of)?;
    if exchange.len() != price.len() || exchange.len() != reactive.len() {
        return Err("the arrays of the corners differ in length".to_owned());
    }
    let corners = exchange.into_iter().zip(price).zip(reactive);
    let corner = |((exchange_w, price), q_var)| Corner {
        exchange_w,
        price,
        q_var,
    };
    Ok(Offer {
        interval,
        length_s,
        sequence,
        curve: corners.map(corner).collect(),
        q_min_var: from.i64()?,
        q_max_var: from.i64()?,
        forecast_w: from.i64()?,
        state: State {
            observed: from.f64()?,
            sigma_max_pu: from.f64()?,
            limits: from.array(text)?,
            islanded: from.bool()?,
        },
        voltage: voltage_in(from)?,
    })
}

const BASES: [Basis; 4] = [Basis::Award, Basis::LastAward, Basis::Schedule, Basis::Zero];

fn closing_out(closing: &Closing) -> Vec<Variant> {
    let basis = BASES.iter().position(|basis| *basis == closing.basis);
    vec![
        closing.interval.into(),
        closing.sequence.into(),
        (basis.unwrap_or_default() as u32).into(),
        u32s(closing.award.into_iter()),
        closing.exchange_w.into(),
        closing.price.into(),
    ]
}

fn closing_in(from: &mut Arguments<'_>) -> Taken<Closing> {
    let (interval, sequence, basis) = (from.i64()?, from.u32()?, from.u32()?);
    let basis = BASES.get(basis as usize).copied();
    let award = from.array(u32_of)?;
    if award.len() > 1 {
        return Err("it can rest on one award".to_owned());
    }
    Ok(Closing {
        interval,
        sequence,
        basis: basis.ok_or("no such basis")?,
        award: award.first().copied(),
        exchange_w: from.i64()?,
        price: from.i64()?,
    })
}

fn total_out(total: &Total) -> Vec<Variant> {
    vec![
        total.interval.into(),
        total.sequence.into(),
        total.import_wh.into(),
        total.export_wh.into(),
        total.replaced.into(),
        strings(total.aggregators.iter().map(|of| &of.name)),
        i64s(total.aggregators.iter().map(|of| of.delivered_wh)),
        i64s(total.aggregators.iter().map(|of| of.amount)),
    ]
}

fn aggregators_in(from: &mut Arguments<'_>) -> Taken<Vec<Aggregated>> {
    let names = from.array(text)?;
    let (delivered_wh, amount) = (from.array(i64_of)?, from.array(i64_of)?);
    if names.len() != delivered_wh.len() || names.len() != amount.len() {
        return Err("the arrays of the aggregators differ in length".to_owned());
    }
    let each = names.into_iter().zip(delivered_wh).zip(amount);
    let each = each.map(|((name, delivered_wh), amount)| Aggregated {
        name,
        delivered_wh,
        amount,
    });
    Ok(each.collect())
}

fn total_in(from: &mut Arguments<'_>) -> Taken<Total> {
    Ok(Total {
        interval: from.i64()?,
        sequence: from.u32()?,
        import_wh: from.i64()?,
        export_wh: from.i64()?,
        replaced: from.bool()?,
        aggregators: aggregators_in(from)?,
    })
}

pub(super) fn award_out(award: &Award) -> Vec<Variant> {
    vec![
        award.interval.into(),
        award.sequence.into(),
        award.offer.into(),
        award.exchange_w.into(),
        award.price.into(),
        award.q_var.into(),
        award.grid_fee.into(),
        award.import_max_w.into(),
        award.export_max_w.into(),
        award.called_w.is_some().into(),
        award.called_w.unwrap_or_default().into(),
        strings(&award.limits),
        i64s(award.u_ppm.into_iter()),
    ]
}

pub(super) fn award_in(from: &mut Arguments<'_>) -> Taken<Award> {
    Ok(Award {
        interval: from.i64()?,
        sequence: from.u32()?,
        offer: from.u32()?,
        exchange_w: from.i64()?,
        price: from.i64()?,
        q_var: from.i64()?,
        grid_fee: from.i64()?,
        import_max_w: from.i64()?,
        export_max_w: from.i64()?,
        called_w: {
            let (called, quantity) = (from.bool()?, from.i64()?);
            called.then_some(quantity)
        },
        limits: from.array(text)?,
        u_ppm: match from.array(i64_of)?[..] {
            [] => None,
            [u_ppm] => Some(u_ppm),
            _ => return Err("more than one voltage".to_owned()),
        },
    })
}

/// What `GetAward` gives.
pub(super) fn held_out(award: Option<&Award>) -> Vec<Variant> {
    let none = Award {
        interval: 0,
        sequence: 0,
        offer: 0,
        exchange_w: 0,
        price: 0,
        q_var: 0,
        grid_fee: 0,
        import_max_w: 0,
        export_max_w: 0,
        called_w: None,
        limits: Vec::new(),
        u_ppm: None,
    };
    let mut out = vec![award.is_some().into()];
    out.extend(award_out(award.unwrap_or(&none)));
    out
}

pub(super) fn held_in(of: &[Variant]) -> Taken<Option<Award>> {
    let mut from = Arguments::new(of);
    let held = from.bool()?;
    let award = award_in(&mut from)?;
    from.end()?;
    Ok(held.then_some(award))
}

/// What a method that takes a document gives.
pub(super) fn answer_out(answer: &Result<Receipt, Refused>) -> Vec<Variant> {
    let (code, value, account) = match answer {
        Ok(receipt) => (0_u32, 0, receipt.account.clone().unwrap_or_default()),
        Err(Refused::Sequence { held, .. }) => (1, i64::from(*held), String::new()),
        Err(Refused::Late { closed, .. }) => (2, *closed, String::new()),
        Err(Refused::Invalid { .. }) => (3, 0, String::new()),
        Err(Refused::Unavailable { .. }) => (4, 0, String::new()),
    };
    let words = match answer {
        Ok(_) => String::new(),
        Err(Refused::Invalid { what }) => what.clone(),
        Err(Refused::Unavailable { reason }) => reason.clone(),
        Err(refused) => refused.to_string(),
    };
    vec![code.into(), value.into(), words.into(), account.into()]
}

/// What it means to the one who called with `document`.
pub(super) fn answer_in(document: &Up, of: &[Variant]) -> Taken<Result<Receipt, Refused>> {
    let mut from = Arguments::new(of);
    let (code, value, words) = (from.u32()?, from.i64()?, from.string()?);
    let account = from.string()?;
    from.end()?;
    let (interval, sequence) = (document.interval(), document.sequence());
    Ok(match code {
        0 => {
            let account = (!account.is_empty()).then_some(account);
            Ok(Receipt {
                interval,
                sequence,
                account,
            })
        }
        1 => {
            let held = u32::try_from(value).map_err(|_| "no such revision".to_owned())?;
            Err(Refused::Sequence { sequence, held })
        }
        2 => Err(Refused::Late {
            interval,
            closed: value,
        }),
        3 => Err(Refused::Invalid { what: words }),
        4 => Err(Refused::Unavailable { reason: words }),
        other => return Err(format!("no such reason: {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregators_come_as_three_arrays_of_one_length() {
        let of = |name: &str, delivered_wh, amount| Aggregated {
            name: name.to_owned(),
            delivered_wh,
            amount,
        };
        let total = Up::Total(Total {
            interval: 900,
            sequence: 1,
            import_wh: 0,
            export_wh: 7,
            replaced: false,
            aggregators: vec![of("flex-co", -5, 6), of("sun", i64::MAX, i64::MIN)],
        });
        let (method, written) = call_of(&total);
        assert_eq!((method, written.len()), ("SubmitTotal", 8));
        assert_eq!(document(method, &written), Some(Ok(total)));
        for at in 5..8 {
            let mut short = written.clone();
            short[at] = Variant::Empty;
            let differ = "the arrays of the aggregators differ in length".to_owned();
            assert_eq!(document(method, &short), Some(Err(differ)), "{at}");
        }
        let missing = Err("an argument is missing".to_owned());
        assert_eq!(document(method, &written[..5]), Some(missing));
    }
}
