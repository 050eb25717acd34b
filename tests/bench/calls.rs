//! What a call to Mesos costs the scheduler's client, beside the general HTTP client and a raw loop.

#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "figures for people")]

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use epic_common_io::http::{self, ClientOptions};
use epic_proto::mesos::v1::scheduler::{Call, call};
use epic_proto::mesos::v1::{AgentId, FrameworkId, TaskId};
use epic_scheduler::mesos::client::Client;
use epic_scheduler::mesos::lanes::Answer;
use epic_scheduler::mesos::masters::Masters;
use epic_tests::address::Network;
use epic_tests::master::{Master, Setup};
use prost::Message as _;

use crate::content::ROLE;
use crate::raw;

const CALLS: u32 = 20_000;
/// As many as wait for their answers at a time.
const AT_ONCE: usize = 1_000;

/// What a call took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    /// Of the thread that makes the calls.
    cpu: f64,
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    let network = Network::take()?;
    let master = Master::start(network.free(1)?, &Setup::of(ROLE, 0))?;
    println!("{CALLS} ACKNOWLEDGEs to a fake master; microseconds a call, CPU of the thread that makes them");
    println!("{:<44} {:>10} {:>10}", "", "wall", "CPU");
    for (name, cost) in [
        ("raw loop: one connection, one after the other", raw(&master)?),
        ("general client: the same", general(&master).await?),
        ("lanes: as the scheduler makes them", lanes(&master).await?),
    ] {
        println!("{name:<44} {:>10.1} {:>10.1}", cost.wall, cost.cpu);
    }
    Ok(())
}

fn raw(master: &Master) -> Result<Cost> {
    let begun = begin()?;
    raw::calls(master.address, (0..CALLS).map(acknowledge))?;
    end(begun)
}

async fn general(master: &Master) -> Result<Cost> {
    let client = http::clients(&ClientOptions::default())?.calls;
    let url = format!("http://{}/api/v1/scheduler", master.address);
    let begun = begin()?;
    for number in 0..CALLS {
        let request = client.post(&url).header("Content-Type", "application/x-protobuf");
        let answer = request.body(acknowledge(number).encode_to_vec()).send().await?;
        ensure!(answer.status() == 400, "without a subscription it answered {}", answer.status());
    }
    end(begun)
}

async fn lanes(master: &Master) -> Result<Cost> {
    let client = Client::new(Masters::parse(&master.address.to_string())?, None, &ClientOptions::default())?;
    let framework_id = Some(FrameworkId { value: "f".to_owned() });
    let subscribe = Call { framework_id, r#type: Some(call::Type::Subscribe.into()), ..Default::default() };
    let subscription = client.subscribe(&subscribe).await?;
    let lanes = client.lanes(&subscription);
    let begun = begin()?;
    let calls: Vec<u32> = (0..CALLS).collect();
    for some in calls.chunks(AT_ONCE) {
        let pending: Vec<_> =
            some.iter().map(|number| lanes.send(Some(&agent(*number)), acknowledge(*number))).collect();
        for pending in pending {
            let answer = pending.await;
            ensure!(answer == Answer::Accepted, "{answer:?}");
        }
    }
    end(begun)
}

fn acknowledge(number: u32) -> Call {
    let acknowledge = call::Acknowledge {
        agent_id: AgentId { value: agent(number) },
        task_id: TaskId { value: format!("worker-{number}.1") },
        uuid: vec![0; 16],
    };
    Call { r#type: Some(call::Type::Acknowledge.into()), acknowledge: Some(acknowledge), ..Default::default() }
}

fn agent(number: u32) -> String {
    format!("5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11-S{number}")
}

fn begin() -> Result<(Instant, f64)> {
    Ok((Instant::now(), thread_cpu_micros()?))
}

fn end((began, cpu): (Instant, f64)) -> Result<Cost> {
    let calls = f64::from(CALLS);
    Ok(Cost { wall: began.elapsed().as_micros() as f64 / calls, cpu: (thread_cpu_micros()? - cpu) / calls })
}

/// What this thread has run so far (Linux, `Documentation/scheduler/sched-stats.rst`: the first number, in ns).
fn thread_cpu_micros() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: u64 = stat.split_whitespace().next().context("no number in schedstat")?.parse()?;
    Ok(nanos as f64 / 1000.0)
}
