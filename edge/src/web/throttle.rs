//! Limits attempts to log in or enrol: a token bucket per address, and a tighter one per user at
//! that address. Nobody is ever locked out from another address. And limits how often a participant's
//! program may ask. No clock inside.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Attempts an address may make at once, and the time it takes to earn another.
const PER_ADDRESS: (f64, f64) = (20.0, 6.0);
/// Attempts on one user from one address at once, and the time it takes to earn another.
const PER_USER: (f64, f64) = (5.0, 30.0);
/// Requests that a participant's token may make at once, and the time it takes to earn another.
const PER_TOKEN: (f64, f64) = (100.0, 0.1);
/// Buckets kept; beyond, the one longest unused is forgotten.
const MOST: usize = 4096;

struct Bucket {
    attempts: f64,
    at: Instant,
}

/// Whose bucket it is: an address's, that of a user at an address, or that of a token anywhere.
type Key = (Option<IpAddr>, Option<String>);

/// All buckets.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<Key, Bucket>>);

impl Throttle {
    /// Counts an attempt on `user` from `address`; `Err` is the time to wait.
    pub(crate) fn attempt(
        &self,
        address: IpAddr,
        user: &str,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = Some(network(address));
        take(&mut buckets, (address, None), PER_ADDRESS, now)?;
        take(
            &mut buckets,
            (address, Some(user.to_owned())),
            PER_USER,
            now,
        )
    }

    /// Forgets the failures of a user who has proven to be one.
    pub(crate) fn succeeded(&self, address: IpAddr, user: &str) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.remove(&(Some(network(address)), Some(user.to_owned())));
    }

    /// Counts a request by a participant's token; `Err` is the time to wait.
    pub(crate) fn used(&self, token: &str, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut buckets, (None, Some(token.to_owned())), PER_TOKEN, now)
    }
}

fn take(
    buckets: &mut HashMap<Key, Bucket>,
    key: Key,
    (burst, refill_s): (f64, f64),
    now: Instant,
) -> Result<(), Duration> {
    if buckets.len() >= MOST && !buckets.contains_key(&key) {
        forget_oldest(buckets);
    }
    let bucket = buckets.entry(key).or_insert(Bucket {
        attempts: burst,
        at: now,
    });
    let earned = now.saturating_duration_since(bucket.at).as_secs_f64() / refill_s;
    bucket.attempts = (bucket.attempts + earned).min(burst);
    bucket.at = now;
    if bucket.attempts < 1.0 {
        return Err(Duration::from_secs_f64((1.0 - bucket.attempts) * refill_s));
    }
    bucket.attempts -= 1.0;
    Ok(())
}

fn forget_oldest(buckets: &mut HashMap<Key, Bucket>) {
    let oldest = buckets
        .iter()
        .min_by_key(|(_, bucket)| bucket.at)
        .map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        buckets.remove(&oldest);
    }
}

/// One IPv6 host commands a whole /64: count that as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_user_has_five_attempts_per_address_then_one_each_30_s() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..5 {
            assert!(throttle.attempt(HERE, "ada", start).is_ok());
        }
        let wait = throttle.attempt(HERE, "ada", start).unwrap_err();
        assert!((29.0..=30.0).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(throttle.attempt(HERE, "bob", start).is_ok(), "another user");
        assert!(
            throttle.attempt(THERE, "ada", start).is_ok(),
            "another place"
        );
        assert!(
            throttle
                .attempt(HERE, "ada", start + Duration::from_secs(31))
                .is_ok()
        );
    }

    #[test]
    fn success_clears_the_user_but_an_address_cannot_try_users_forever() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for i in 0..20 {
            assert!(throttle.attempt(HERE, "ada", start).is_ok(), "attempt {i}");
            throttle.succeeded(HERE, "ada");
        }
        assert!(throttle.attempt(HERE, "ada", start).is_err());
    }

    #[test]
    fn a_token_is_slowed_down_wherever_it_comes_from_and_no_other_with_it() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..100 {
            assert!(throttle.used("a", start).is_ok());
        }
        let wait = throttle.used("a", start).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(throttle.used("b", start).is_ok());
        assert!(throttle.used("a", start + wait).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for i in 0..20_u16 {
            let host = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, i));
            assert!(throttle.attempt(host, &i.to_string(), start).is_ok());
        }
        let host = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 9, 9, 9, 9));
        assert!(throttle.attempt(host, "ada", start).is_err());
        for i in 0..3 * MOST as u32 {
            let _ = throttle.attempt(IpAddr::V4(i.into()), "ada", start);
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST);
    }
}
