//! The market itself: pure, as the layers below are.

use std::collections::BTreeMap;

use protocols::opcua::{
    Account,
    message::{Award, Closing, Offer, Receipt, Refused, Total, Up},
};
use serde::{Deserialize, Serialize};

/// Prices by time of day: from a second on, micro-currency per MWh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices(Vec<(i64, i64)>);

impl Prices {
    /// Of lines `hh:mm,price per MWh`, the first from 00:00 on, after a line of headings.
    ///
    /// # Errors
    /// A line is none, or their times do not rise from 00:00.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps: Vec<(i64, i64)> = Vec::new();
        for (number, line) in text.lines().enumerate().skip(1) {
            if line.trim().is_empty() {
                continue;
            }
            let step = line.split_once(',').and_then(|(from, price)| {
                let price: f64 = price.trim().parse().ok()?;
                let fits = price.abs() <= 3000.0;
                fits.then_some((second_of_day(from.trim())?, (price * 1e6).round() as i64))
            });
            let step = step.ok_or_else(|| format!("line {}: `{line}`", number + 1))?;
            let wanted = steps.last().map_or(step.0 == 0, |before| before.0 < step.0);
            if !wanted {
                return Err(format!("line {}: times rise from 00:00", number + 1));
            }
            steps.push(step);
        }
        match steps.is_empty() {
            true => Err("no prices".to_owned()),
            false => Ok(Self(steps)),
        }
    }

    /// At a second of the day.
    #[must_use]
    pub fn at(&self, second: i64) -> i64 {
        let second = second.rem_euclid(86_400);
        let due = self.0.iter().rfind(|(from, _)| *from <= second);
        due.map_or(0, |&(_, price)| price)
    }
}

/// `hh:mm` as a second of the day.
pub(super) fn second_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let part = |text: &str, most: i64| {
        let value: i64 = text.parse().ok()?;
        (text.len() == 2 && (0..=most).contains(&value)).then_some(value)
    };
    Some(part(hours, 23)? * 3600 + part(minutes, 59)? * 60)
}

/// A document that was taken, and whose; a line of its file each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Whose.
    pub tenant: String,
    /// It.
    pub document: Up,
}

#[derive(Clone, Debug, Default)]
struct Deal {
    offer: Option<Offer>,
    award: Option<Award>,
    closing: Option<Closing>,
    total: Option<Total>,
}

impl Deal {
    /// The interval's account, once it is metered.
    fn account<'d>(&'d self, tenant: &'d str) -> Option<Account<'d>> {
        let (closing, total) = (self.closing.as_ref()?, self.total.as_ref()?);
        let award = self.award.as_ref();
        Some(Account {
            tenant,
            interval: closing.interval,
            award: award.filter(|award| closing.award == Some(award.sequence)),
            closing,
            total,
        })
    }
}

/// What it knows of its tenants.
#[derive(Clone, Debug, Default)]
pub struct Market {
    /// Most import and export of each tenant, W.
    limits: BTreeMap<String, (i64, i64)>,
    deals: BTreeMap<(i64, String), Deal>,
}

impl Market {
    /// Of these tenants: name, most import, most export, W.
    #[must_use]
    pub fn new(tenants: impl IntoIterator<Item = (String, i64, i64)>) -> Self {
        let limits = tenants
            .into_iter()
            .map(|(name, import, export)| (name, (import, export)));
        Self {
            limits: limits.collect(),
            deals: BTreeMap::new(),
        }
    }

    /// Takes a document; `price` is that of its interval. The same one again changes nothing. With an offer
    /// comes its award, with a total the hash of the interval's account as it stands here.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(
        &mut self,
        taken: &Taken,
        price: i64,
    ) -> Result<(Receipt, Option<Award>), Refused> {
        let Taken { tenant, document } = taken;
        let Some(&limits) = self.limits.get(tenant) else {
            let what = format!("there is no tenant {tenant}");
            return Err(Refused::Invalid { what });
        };
        let mut receipt = Receipt {
            interval: document.interval(),
            sequence: document.sequence(),
            account: None,
        };
        let deal = self
            .deals
            .entry((document.interval(), tenant.clone()))
            .or_default();
        let mut awarded = None;
        match document {
            Up::Offer(new) => {
                if newer(deal.offer.as_ref(), new, new.sequence, |of| of.sequence)? {
                    let before = deal.award.as_ref().map_or(0, |of| of.sequence);
                    deal.award = Some(award(new, price, limits, before + 1)?);
                    deal.offer = Some(new.clone());
                }
                awarded.clone_from(&deal.award);
            }
            Up::Closing(new) => {
                if newer(deal.closing.as_ref(), new, new.sequence, |of| of.sequence)? {
                    deal.closing = Some(new.clone());
                }
            }
            Up::Total(new) => {
                if deal.closing.is_none() {
                    let reason = "the interval's closing is not here yet".to_owned();
                    return Err(Refused::Unavailable { reason });
                }
                if newer(deal.total.as_ref(), new, new.sequence, |of| of.sequence)? {
                    deal.total = Some(new.clone());
                }
                let account = deal.account(tenant);
                receipt.account = account.map(|account| account.sha256_text());
            }
        }
        Ok((receipt, awarded))
    }
}

/// Whether it is to be taken: the same as the one that is held is not.
fn newer<T: PartialEq>(
    held: Option<&T>,
    new: &T,
    sequence: u32,
    number: impl Fn(&T) -> u32,
) -> Result<bool, Refused> {
    match held {
        Some(held) if held == new => Ok(false),
        Some(held) if sequence <= number(held) => Err(Refused::Sequence {
            sequence,
            held: number(held),
        }),
        _ => Ok(true),
    }
}

/// What an offer comes to at a price that it does not move: import as long as the next W is worth more.
fn award(
    offer: &Offer,
    price: i64,
    (import_max_w, export_max_w): (i64, i64),
    sequence: u32,
) -> Result<Award, Refused> {
    let Some(first) = offer.curve.first() else {
        let what = "a curve without a corner".to_owned();
        return Err(Refused::Invalid { what });
    };
    let mut taken = first;
    for pair in offer.curve.windows(2) {
        if pair[0].price <= price {
            break;
        }
        taken = &pair[1];
    }
    let exchange_w = taken.exchange_w.min(import_max_w).max(-export_max_w);
    let limits = match exchange_w - taken.exchange_w {
        0 => Vec::new(),
        1.. => vec![format!("export limit of {export_max_w} W")],
        _ => vec![format!("import limit of {import_max_w} W")],
    };
    Ok(Award {
        interval: offer.interval,
        sequence,
        offer: offer.sequence,
        exchange_w,
        price,
        q_var: taken.q_var,
        grid_fee: 0,
        import_max_w,
        export_max_w,
        called_w: None,
        limits,
        u_ppm: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::opcua::message::{Basis, Corner, State};

    fn offer(sequence: u32, corners: &[(i64, i64)]) -> Taken {
        let corner = |&(exchange_w, price)| Corner {
            exchange_w,
            price,
            q_var: 7,
        };
        Taken {
            tenant: "area".to_owned(),
            document: Up::Offer(Offer {
                interval: 900,
                length_s: 900,
                sequence,
                curve: corners.iter().map(corner).collect(),
                q_min_var: 0,
                q_max_var: 0,
                forecast_w: 0,
                state: State::default(),
                voltage: None,
            }),
        }
    }

    fn market() -> Market {
        Market::new([("area".to_owned(), 1_000, 500)])
    }

    #[test]
    fn awards_are_of_the_tenants_own_curve() {
        // Gives up to 800 W for 90 or more, takes up to 600 W for less than 20.
        let curve = [(-800, 90), (0, 20), (600, 0)];
        for (price, exchange_w, limits) in [
            (10, 600, 0),
            (20, 0, 0),
            (89, 0, 0),
            // No more than 500 W can be given.
            (90, -500, 1),
            (120, -500, 1),
        ] {
            let (_, award) = market().submit(&offer(1, &curve), price).unwrap();
            let award = award.unwrap();
            let is = (award.exchange_w, award.limits.len(), award.price);
            assert_eq!(is, (exchange_w, limits, price));
        }
    }

    #[test]
    fn the_same_again_is_the_same() {
        let mut market = market();
        let first = market.submit(&offer(1, &[(0, 0)]), 5).unwrap();
        assert_eq!(market.submit(&offer(1, &[(0, 0)]), 6).unwrap(), first);
        assert!(matches!(
            market.submit(&offer(1, &[(1, 0)]), 5),
            Err(Refused::Sequence { held: 1, .. })
        ));
        let (_, award) = market.submit(&offer(2, &[(1, 0)]), 5).unwrap();
        assert_eq!(award.map(|of| (of.sequence, of.offer)), Some((2, 2)));
    }

    /// The reference is of Python, as that of [`Account`]: `hashlib.sha256(json.dumps(account,
    /// separators=(",", ":")).encode())`.
    #[test]
    fn a_total_is_answered_with_the_hash_of_the_account() {
        let mut market = market();
        let mut give = |document| {
            let tenant = "area".to_owned();
            market
                .submit(&Taken { tenant, document }, 5)
                .map(|(receipt, _)| receipt.account)
        };
        give(offer(1, &[(-5, 9), (0, 0)]).document).unwrap();
        let closing = Closing {
            interval: 900,
            sequence: 1,
            basis: Basis::Award,
            award: Some(1),
            exchange_w: 0,
            price: 5,
        };
        let total = |sequence, import_wh| {
            Up::Total(Total {
                interval: 900,
                sequence,
                import_wh,
                export_wh: 0,
                replaced: false,
                aggregators: Vec::new(),
            })
        };
        assert!(give(total(1, 1)).is_err(), "before its closing");
        assert_eq!(give(Up::Closing(closing)), Ok(None));
        let first = "080a6a4022fe7bff250ab30d44f92fd8c6b17ac6b7996e85125dd202d674e82e";
        assert_eq!(give(total(1, 1)), Ok(Some(first.to_owned())));
        assert_eq!(
            give(total(1, 1)),
            Ok(Some(first.to_owned())),
            "the same again"
        );
        let corrected = give(total(2, 3)).unwrap();
        assert!(corrected.is_some() && corrected.as_deref() != Some(first));
    }

    #[test]
    fn prices_are_by_time_of_day() {
        let prices = Prices::parse("from,price\n00:00,80\n11:30,-4.5\n").unwrap();
        assert_eq!(prices.at(0), 80_000_000);
        assert_eq!(prices.at(11 * 3600 + 1799), 80_000_000);
        assert_eq!(prices.at(11 * 3600 + 1800), -4_500_000);
        assert_eq!(prices.at(86_400), 80_000_000);
        for wrong in [
            "h\n",
            "h\n01:00,5\n",
            "h\n00:00,5\n00:00,6\n",
            "h\n00:00,x\n",
            "h\n24:00,1\n",
        ] {
            assert!(Prices::parse(wrong).is_err(), "{wrong}");
        }
    }
}
