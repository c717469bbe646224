//! The account of an interval between two layers of the market: what was awarded, with what the tenant
//! closed, what was metered. Both ends make it of their own records; equal hashes say that nothing was lost,
//! doubled or exchanged on the way.

use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::message::{Award, Closing, Total};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Account<'d> {
    /// The tenant, by the name that the layer above knows it by.
    pub tenant: &'d str,
    /// Start of the interval, UTC, s since 1970.
    pub interval: i64,
    /// The award that the closing rests on; none on another basis.
    pub award: Option<&'d Award>,
    /// The tenant's word.
    pub closing: &'d Closing,
    /// The latest total.
    pub total: &'d Total,
}

impl Account<'_> {
    /// SHA-256 over its JSON: keys in the order above, no blanks.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        // Integers, texts and lists of them: there is nothing that JSON could not say.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &json).as_ref());
        hash
    }

    /// The same as 64 lower-case hexadecimal digits, as it is answered with a total.
    #[must_use]
    pub fn sha256_text(&self) -> String {
        let octets = self.sha256();
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcua::message::{Aggregated, Basis};

    /// The reference is of Python: `hashlib.sha256(json.dumps(account, separators=(",", ":")).encode())`.
    #[test]
    fn is_what_python_makes_of_it() {
        let award = Award {
            interval: 1_800_000_000,
            sequence: 2,
            offer: 1,
            exchange_w: -5000,
            price: 42_000_000,
            q_var: 100,
            grid_fee: 1_000_000,
            import_max_w: 10_000,
            export_max_w: 20_000,
            called_w: None,
            limits: vec!["rated current of branch 7 at its from side".to_owned()],
            u_ppm: None,
        };
        let closing = Closing {
            interval: 1_800_000_000,
            sequence: 1,
            basis: Basis::Award,
            award: Some(2),
            exchange_w: -5000,
            price: 42_000_000,
        };
        let total = Total {
            interval: 1_800_000_000,
            sequence: 1,
            import_wh: 0,
            export_wh: 1250,
            replaced: false,
            aggregators: Vec::new(),
        };
        let account = Account {
            tenant: "north",
            interval: 1_800_000_000,
            award: Some(&award),
            closing: &closing,
            total: &total,
        };
        assert_eq!(
            account.sha256_text(),
            "f987db0b9cbf31f6a0ccf8971f1096445868b099b3741cb7e1a1fbebc7148a83"
        );
        let other = Total {
            export_wh: 1251,
            ..total.clone()
        };
        assert_ne!(
            Account {
                total: &other,
                ..account
            }
            .sha256(),
            account.sha256()
        );
        let flex = Aggregated {
            name: "flex-co".to_owned(),
            delivered_wh: 300,
            amount: -12_600,
        };
        let with = Total {
            aggregators: vec![flex],
            ..total.clone()
        };
        let with = Account {
            total: &with,
            ..account
        };
        assert_eq!(
            with.sha256_text(),
            "c5161290e3550726a787108fdf214f76a6228071ecca20bf025a8e7a6bae3e3e"
        );
    }
}
