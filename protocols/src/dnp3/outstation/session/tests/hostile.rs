//! Any octets and any requests: no panic, an answer of bounded size, and the session goes on.

use std::time::Duration;

use proptest::prelude::*;

use super::bench::*;
use crate::dnp3::{
    app::hostile::objects,
    link::LinkConfig,
    outstation::{OutstationConfig, UnsolicitedConfig},
};

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let function = prop_oneof![0_u8..33, Just(129), Just(130), any::<u8>()];
    let control = prop_oneof![(0_u8..16).prop_map(|sequence| 0xC0 | sequence), any::<u8>()];
    (control, function, objects())
        .prop_map(|(control, function, objects)| [&[control, function][..], &objects].concat())
}

#[derive(Clone, Debug)]
enum Step {
    Fragment(Vec<u8>),
    Broadcast(Vec<u8>),
    Octets(Vec<u8>),
    Pass(u64),
    Reconnect,
    Measure,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => fragments().prop_map(Step::Fragment),
        1 => fragments().prop_map(Step::Broadcast),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Octets),
        2 => (0_u64..20_000).prop_map(Step::Pass),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Measure),
    ]
}

fn small() -> OutstationConfig {
    OutstationConfig {
        max_fragment: 249,
        max_events: 20,
        unsolicited: Some(UnsolicitedConfig::default()),
        need_time_every: Some(Duration::from_secs(60)),
        link: LinkConfig::new(1, 10),
        ..config()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_a_master_sends_breaks_the_session(steps in prop::collection::vec(steps(), 1..40)) {
        let mut bench = Bench::new(small(), &points());
        for step in steps {
            match step {
                Step::Fragment(fragment) => bench.send(&fragment),
                Step::Broadcast(fragment) => bench.send_to(0xFFFF, &fragment),
                Step::Octets(octets) => bench.outstation.handle_input(&octets, bench.now),
                Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
                Step::Reconnect => {
                    bench.outstation.disconnected(bench.now);
                    bench.outstation.connected(bench.now);
                }
                Step::Measure => bench.measure_all(),
            }
            for fragment in bench.received() {
                prop_assert!(fragment.len() <= 249, "{} octets", fragment.len());
            }
            bench.events();
            prop_assert!(bench.outstation.is_bounded());
        }
        // After all of it a master that behaves is served.
        bench.outstation.disconnected(bench.now);
        bench.outstation.connected(bench.now);
        bench.pass(Duration::from_secs(60));
        bench.received();
        let answer = bench.ask(&[0xC9, 0x17]);
        prop_assert!(answer.iter().any(|a| a[..2] == [0xC9, 0x81] && a[4..] == [52, 2, 7, 1, 0, 0]));
    }
}
