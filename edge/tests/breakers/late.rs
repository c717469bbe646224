//! A command that its master takes for failed is not done any more: not when its turn comes, and not when the loop
//! comes to it. What was selected for it is given back.

use protocols::{
    dnp3::{app::CommandStatus, master::Select},
    iec104::master::{Outcome, Request as Request104},
};
use tokio::sync::{
    mpsc,
    oneshot::{self, Sender},
};

use super::{
    Appliance, CancellationToken, Handle, Heard, Holder, NotSwitched, PATIENCE, PointId, Record,
    Request, SwitchCommand, SwitchStep, bench, by_operator,
    centre::{Dnp3, Iec104, command},
    dnp3, free_port, iec104, run, stands, timeout, towards_centre,
};

/// Outputs of the example's breakers.
const OUTPUTS: [u16; 2] = [10_000, 10_001];

type Answer = Sender<Result<(), NotSwitched>>;

/// The appliance towards its control centre, with a loop that the test has in its hands.
struct Slow {
    requests: mpsc::Receiver<Request>,
    breakers: Vec<PointId>,
    ports: [u16; 2],
    running: run::Running,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

impl Slow {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut site = bench::silent(dir.path());
        let ports = [free_port(), free_port()];
        towards_centre(&mut site, &ports);
        let breakers = site.breakers().map(|of| of.command).collect();
        let (of_dnp3, of_iec104) = (site.dnp3.as_ref().unwrap(), site.iec104.as_ref().unwrap());
        let dnp3 = dnp3::Station::bind(&site, of_dnp3).await.unwrap();
        let iec104 = iec104::Station::bind(&site, of_iec104).await.unwrap();
        let stop = CancellationToken::new();
        let running = run::start(site, stop.clone()).unwrap();
        let (asks, requests) = mpsc::channel(8);
        let handle = Handle {
            requests: asks,
            ..running.handle.clone()
        };
        tokio::spawn(dnp3.serve(handle.clone(), stop.clone()));
        tokio::spawn(iec104.serve(handle, stop.clone()));
        Self {
            requests,
            breakers,
            ports,
            running,
            stop,
            _dir: dir,
        }
    }

    /// What the loop is asked next: which step of closing or opening the breaker of which output.
    async fn asked(&mut self) -> ((SwitchStep, u16, bool), Answer) {
        let request = timeout(PATIENCE, self.requests.recv()).await.unwrap();
        let Some(Request::Switch {
            command,
            step,
            answer,
        }) = request
        else {
            panic!("{request:?}");
        };
        let of = self.breakers.iter().position(|b| *b == command.breaker);
        ((step, OUTPUTS[of.unwrap()], command.close), answer)
    }

    /// It is asked this, and has done it.
    async fn does(&mut self, expected: (SwitchStep, u16, bool)) {
        let (asked, answer) = self.asked().await;
        assert_eq!(asked, expected);
        answer.send(Ok(())).unwrap();
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.stopped().await.unwrap();
    }
}

fn ioa(output: u16) -> u32 {
    500_000 + u32::from(output)
}

fn execute(output: u16, close: bool) -> Request104 {
    Request104::Command {
        command: command(ioa(output), close),
        select: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iec104_command_whose_turn_comes_too_late_is_not_done() {
    let mut slow = Slow::start().await;
    let mut centre = Iec104::start(slow.ports[1]);
    let [first, second] = OUTPUTS;
    for output in OUTPUTS {
        let select = Request104::Select(command(ioa(output), false));
        let selected = (SwitchStep::Select, output, false);
        let (outcome, ()) = tokio::join!(centre.ask(select), slow.does(selected));
        assert_eq!(outcome, Outcome::Done);
    }
    // One is given back, which takes its device its time; the other is executed behind it.
    let cancel = Request104::Cancel(command(ioa(first), false));
    assert_eq!(centre.ask(cancel).await, Outcome::Done);
    let (asked, answer) = slow.asked().await;
    assert_eq!(asked, (SwitchStep::Deselect, first, false));
    let outcome = centre.ask(execute(second, false)).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    answer.send(Ok(())).unwrap();
    let (asked, answer) = slow.asked().await;
    assert_eq!(asked, (SwitchStep::Deselect, second, false));
    // Behind that one a direct command.
    let outcome = centre.ask(execute(first, false)).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    answer.send(Ok(())).unwrap();
    // What is asked next is what comes next.
    let next = (SwitchStep::Direct, second, true);
    let (outcome, ()) = tokio::join!(centre.ask(execute(second, true)), slow.does(next));
    assert_eq!(outcome, Outcome::Done);
    slow.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dnp3_command_whose_turn_comes_too_late_is_not_done() {
    let mut slow = Slow::start().await;
    let [first, second] = OUTPUTS;
    let mut centre = Dnp3::start(slow.ports[0], 1);
    let mut other = Dnp3::start(slow.ports[0], 2);
    for (centre, output) in [(&mut centre, first), (&mut other, second)] {
        centre.connected().await;
        let select = centre.ask(Select::Only, output, false);
        let selected = (SwitchStep::Select, output, false);
        let (status, ()) = tokio::join!(select, slow.does(selected));
        assert_eq!(status, CommandStatus::Success);
    }
    // One is given back, which takes its device its time; the other is operated behind it, and so is a direct command.
    centre.release().await;
    let (asked, answer) = slow.asked().await;
    assert_eq!(asked, (SwitchStep::Deselect, first, false));
    let operate = other.ask(Select::Selected, second, false);
    let direct = centre.ask(Select::Direct, first, false);
    let statuses = tokio::join!(operate, direct);
    assert_eq!(
        statuses,
        (CommandStatus::HardwareError, CommandStatus::HardwareError)
    );
    answer.send(Ok(())).unwrap();
    slow.does((SwitchStep::Deselect, second, false)).await;
    // What is asked next is what comes next.
    let next = (SwitchStep::Direct, first, true);
    let direct = centre.ask(Select::Direct, first, true);
    let (status, ()) = tokio::join!(direct, slow.does(next));
    assert_eq!(status, CommandStatus::Success);
    slow.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dnp3_command_that_takes_too_long_keeps_no_other_waiting() {
    let mut slow = Slow::start().await;
    let [first, second] = OUTPUTS;
    let mut centre = Dnp3::start(slow.ports[0], 1);
    let mut behind = Iec104::start(slow.ports[1]);
    centre.connected().await;
    let (status, (asked, mut answer)) =
        tokio::join!(centre.ask(Select::Direct, first, false), slow.asked());
    assert_eq!(status, CommandStatus::HardwareError);
    assert_eq!(asked, (SwitchStep::Direct, first, false));
    // The loop learns that nobody waits for it.
    timeout(PATIENCE, answer.closed()).await.unwrap();
    let next = (SwitchStep::Direct, second, true);
    let (status, ()) = tokio::join!(centre.ask(Select::Direct, second, true), slow.does(next));
    assert_eq!(status, CommandStatus::Success);
    let (outcome, ()) = tokio::join!(behind.ask(execute(second, true)), slow.does(next));
    assert_eq!(outcome, Outcome::Done);
    slow.stop().await;
}

/// A step of the control centre, asked of the loop itself.
fn step(breaker: &str, step: SwitchStep) -> (Request, oneshot::Receiver<Result<(), NotSwitched>>) {
    let (answer, answered) = oneshot::channel();
    let command = SwitchCommand {
        holder: Holder::Scada,
        by: "dso".to_owned(),
        breaker: PointId::parse(breaker),
        close: false,
    };
    let request = Request::Switch {
        command,
        step,
        answer,
    };
    (request, answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loop_does_nothing_for_those_who_have_gone_and_gives_back_what_they_selected() {
    let mut all = Appliance::start().await;
    let handle = all.running.handle.clone();
    let (breaker, protocol) = ("rtu10/bay1_breaker", "iec104");
    stands(&handle, breaker, true).await;
    // Gone while the device selects.
    let busy = std::sync::Arc::clone(&all.devices.busy).lock_owned().await;
    let (select, answered) = step(breaker, SwitchStep::Select);
    handle.requests.send(select).await.unwrap();
    let selected = Heard::of(["select"], false);
    assert_eq!(all.devices.until(protocol, "select").await, selected);
    drop((answered, busy));
    let given_back = Heard::of(["deselect"], false);
    assert_eq!(all.devices.until(protocol, "deselect").await, given_back);
    // Gone before the loop comes to the operation of what was selected.
    let (select, answered) = step(breaker, SwitchStep::Select);
    handle.requests.send(select).await.unwrap();
    assert_eq!(timeout(PATIENCE, answered).await.unwrap().unwrap(), Ok(()));
    assert_eq!(all.devices.until(protocol, "select").await, selected);
    let (operate, gone) = step(breaker, SwitchStep::Operate);
    drop(gone);
    handle.requests.send(operate).await.unwrap();
    assert_eq!(all.devices.until(protocol, "deselect").await, given_back);
    // Gone before it comes to a direct one: the operator finds the breaker closed, and nobody's.
    let (direct, gone) = step(breaker, SwitchStep::Direct);
    drop(gone);
    handle.requests.send(direct).await.unwrap();
    assert_eq!(by_operator(&handle, breaker, false).await, Ok(()));
    assert_eq!(
        all.devices.heard(protocol).await,
        Heard::operated(protocol, false)
    );
    all.devices.quiet();
    let records = handle.ledger.recent(i64::from(u16::MAX)).unwrap().records;
    let switched = records.into_iter().filter_map(|record| match record {
        Record::Switched { by, .. } => Some(by),
        _ => None,
    });
    assert_eq!(switched.collect::<Vec<_>>(), ["user ada"]);
    drop(handle);
    all.stop().await;
}
