use std::path::Path;

use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    cycle::{Cycle, Input},
    feed::Feed,
    store::Ledger,
};

const WAITS: Duration = Duration::from_secs(5);
/// A unit of the example.
const UNIT: Id = 101;

/// A loop that answers nothing of itself, and who brings it commands.
struct Bench {
    commander: Commander,
    handle: Handle,
    requests: mpsc::Receiver<Request>,
    _dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cigre-mv/site.toml");
        let site = Arc::new(crate::site::load(&file).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let mut cycle = Cycle::new(Arc::clone(&site), 0, || 0).unwrap();
        let first = cycle.step(Input {
            snapshot: Arc::default(),
            done: Vec::new(),
            rss_bytes: 0,
        });
        let (asks, requests) = mpsc::channel(64);
        Self {
            commander: Commander::new(&site, Duration::from_secs(300)),
            handle: Handle {
                ledger: Arc::new(Ledger::open(dir.path()).unwrap()),
                feed: Feed::default(),
                published: watch::channel(first.published).1,
                requests: asks,
                links: Arc::default(),
            },
            requests,
            _dir: dir,
        }
    }

    async fn direct(&mut self, what: What, until: Option<Instant>) -> Result<(), Refused> {
        let by = "dso".to_owned();
        let asked = Asked { by, what };
        let step = SwitchStep::Direct;
        self.commander
            .carry_out(asked, step, until, &self.handle)
            .await
    }
}

/// Whether somebody waits for the answer to a request.
fn is_awaited(request: &Request) -> bool {
    match request {
        Request::Command { answer, .. } => !answer.is_closed(),
        Request::Switch { answer, .. } => !answer.is_closed(),
        other => panic!("{other:?}"),
    }
}

/// A power for the unit, a breaker, and the DER with what it needs before.
fn whats() -> [(Option<What>, What); 3] {
    let set = der::Change::Set(der::Setting::GenerationLimit, 500.0);
    let enable = der::Change::Enable(der::Mode::ActivePowerLimit, true);
    [
        (None, What::Unit(UNIT, Change::Preset(0, 1000.0))),
        (
            None,
            What::Breaker(PointId::parse("bay-t2/bay1_breaker"), false),
        ),
        (Some(What::Der(set)), What::Der(enable)),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_the_loop_does_not_answer_in_time_is_not_asked_any_more() {
    for (before, what) in whats() {
        let mut bench = Bench::new();
        if let Some(before) = before {
            assert_eq!(bench.direct(before, None).await, Ok(()));
        }
        let until = Instant::now() + WAITS;
        assert_eq!(bench.direct(what, Some(until)).await, Err(Refused::Late));
        assert!((until..until + Duration::from_millis(10)).contains(&Instant::now()));
        let asked = bench.requests.try_recv().unwrap();
        assert!(!is_awaited(&asked), "{asked:?}");
        assert!(
            bench.requests.try_recv().is_err(),
            "asked for more than once"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_late_is_not_even_asked() {
    for (before, what) in whats() {
        let mut bench = Bench::new();
        if let Some(before) = before {
            assert_eq!(bench.direct(before, None).await, Ok(()));
        }
        let now = Instant::now();
        assert_eq!(bench.direct(what, Some(now)).await, Err(Refused::Late));
        assert!(bench.requests.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_of_the_loop_keeps_nobody_waiting_for_longer() {
    let mut bench = Bench::new();
    (bench.handle.requests, bench.requests) = mpsc::channel(1);
    let place = bench.handle.requests.clone().reserve_owned().await.unwrap();
    let [(_, unit), ..] = whats();
    let until = Instant::now() + WAITS;
    let done = timeout(2 * WAITS, bench.direct(unit, Some(until))).await;
    assert_eq!(done, Ok(Err(Refused::Late)));
    drop(place);
    assert!(bench.requests.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_power_that_was_set_too_late_is_not_what_a_unit_is_taken_over_at() {
    let mut bench = Bench::new();
    let until = Some(Instant::now() + WAITS);
    let set = What::Unit(UNIT, Change::Preset(0, 1000.0));
    assert_eq!(bench.direct(set, until).await, Err(Refused::Late));
    let take_over = What::Unit(UNIT, Change::Held(true));
    let until = Some(Instant::now() + WAITS);
    let done = bench.direct(take_over, until).await;
    assert_eq!(done, Err(Refused::NothingPreset));
}

#[tokio::test(start_paused = true)]
async fn a_der_is_changed_to_the_end_once_its_units_have_agreed() {
    let mut bench = Bench::new();
    let [.., (set, enable)] = whats();
    assert_eq!(bench.direct(set.unwrap(), None).await, Ok(()));
    let (_, mut requests) = mpsc::channel(1);
    std::mem::swap(&mut requests, &mut bench.requests);
    let slow = async {
        let mut held = 0;
        while let Some(request) = requests.recv().await {
            let Request::Command { check, answer, .. } = request else {
                panic!("{request:?}");
            };
            if !check {
                sleep(2 * WAITS).await;
                held += 1;
            }
            answer.send(Ok(())).unwrap();
        }
        held
    };
    let until = Some(Instant::now() + WAITS);
    let changed = async {
        let changed = bench.direct(enable, until).await;
        // Nobody asks for anything more.
        drop(bench);
        changed
    };
    let (changed, held) = tokio::join!(changed, slow);
    assert_eq!(changed, Ok(()));
    assert!(held > 1, "{held}");
}
