//! Any octets and any responses: no panic, and the session goes on.

use proptest::prelude::*;

use super::bench::*;
use crate::dnp3::{app::hostile::objects, master::Request};

fn responses() -> impl Strategy<Value = Vec<u8>> {
    let function = prop_oneof![4 => Just(129), 4 => Just(130), 1 => any::<u8>()];
    (any::<u8>(), function, any::<[u8; 2]>(), objects()).prop_map(
        |(control, function, iin, objects)| {
            [&[control, function, iin[0], iin[1]][..], &objects].concat()
        },
    )
}

#[derive(Clone, Debug)]
enum Step {
    Response(u16, Vec<u8>),
    /// To what was asked last.
    Fitting(Vec<u8>),
    Octets(Vec<u8>),
    Pass(u32),
    Ask,
    Reconnect,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u16..4, responses()).prop_map(|(from, response)| Step::Response(from, response)),
        5 => responses().prop_map(Step::Fitting),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Octets),
        2 => (0_u32..20_000).prop_map(Step::Pass),
        1 => Just(Step::Ask),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_an_outstation_sends_breaks_the_session(steps in prop::collection::vec(steps(), 1..40)) {
        let mut bench = Bench::new(&[config(1), config(2)]);
        let mut last = (1, 0xC0);
        for step in steps {
            match step {
                Step::Response(from, response) => bench.answer_from(from, &response),
                Step::Fitting(mut response) => {
                    response[..2].copy_from_slice(&[last.1, 129]);
                    bench.answer_from(last.0, &response);
                }
                Step::Octets(octets) => bench.master.handle_input(&octets, bench.now),
                Step::Pass(ms) => bench.pass(SECOND * ms / 1000),
                Step::Ask => {
                    bench.master.request(1, Request::Restart { cold: true }, bench.now);
                }
                Step::Reconnect => {
                    bench.master.disconnected(bench.now);
                    bench.master.connected(bench.now);
                }
            }
            for (to, fragment) in bench.sent() {
                prop_assert!(fragment.len() <= 2048);
                // A confirmation is not a request.
                if fragment[1] != 0 {
                    last = (to, fragment[0]);
                }
            }
            bench.events();
        }
        // After all of it, an outstation that behaves is asked.
        bench.master.disconnected(bench.now);
        bench.master.connected(bench.now);
        prop_assert_eq!(bench.sent().last().map(|(_, fragment)| fragment[1]), Some(0x15));
    }
}
