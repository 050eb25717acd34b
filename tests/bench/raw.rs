//! The loop that the scheduler is compared with: the same calls, one after the other on one connection, nothing stored.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use epic_common::recordio;
use epic_proto::mesos::v1::scheduler::{Call, Event, call};
use epic_proto::mesos::v1::{self, TaskInfo, TaskStatus};
use prost::Message as _;

/// Subscribes, launches one task on each of so many agents, and acknowledges that each runs; returns how long it took
/// from SUBSCRIBE to the answer to the last ACKNOWLEDGE.
///
/// # Errors
/// The master does something else than was expected.
pub(crate) fn run(address: SocketAddr, agents: usize) -> Result<Duration> {
    let began = Instant::now();
    let mut events = Events::subscribe(address)?;
    let mut calls = Calls::open(address, &events.stream_id)?;
    let mut launched = 0;
    while launched < agents {
        for offer in events.next()?.offers.unwrap_or_default().offers {
            calls.make(&accept(offer, launched))?;
            launched += 1;
        }
    }
    let mut acknowledged = 0;
    while acknowledged < agents {
        if let Some(update) = events.next()?.update {
            calls.make(&acknowledge(update.status))?;
            acknowledged += 1;
        }
    }
    Ok(began.elapsed())
}

/// Subscribes, and makes calls one after the other.
///
/// # Errors
/// The master doesn't accept one.
pub(crate) fn calls(address: SocketAddr, calls: impl Iterator<Item = Call>) -> Result<()> {
    let events = Events::subscribe(address)?;
    let mut connection = Calls::open(address, &events.stream_id)?;
    for call in calls {
        connection.make(&call)?;
    }
    Ok(())
}

/// The stream of events.
struct Events {
    from: BufReader<TcpStream>,
    records: recordio::Decoder,
    stream_id: String,
}

impl Events {
    fn subscribe(address: SocketAddr) -> Result<Self> {
        let mut connection = TcpStream::connect(address)?;
        connection.write_all(&request(&of(call::Type::Subscribe), ""))?;
        let mut from = BufReader::with_capacity(64 << 10, connection);
        let head = head(&mut from)?;
        let id = head.lines().find_map(|line| line.strip_prefix("Mesos-Stream-Id: "));
        let stream_id = id.context("no stream id")?.to_owned();
        Ok(Self { from, records: recordio::Decoder::default(), stream_id })
    }

    fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(record) = self.records.next() {
                return Ok(Event::decode(record?.as_slice())?);
            }
            let mut line = String::new();
            self.from.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16)?;
            ensure!(size > 0, "the stream ended");
            let mut chunk = vec![0; size + 2];
            self.from.read_exact(&mut chunk)?;
            self.records.push(&chunk[..size]);
        }
    }
}

/// The connection for calls.
struct Calls {
    from: BufReader<TcpStream>,
    header: String,
}

impl Calls {
    fn open(address: SocketAddr, stream_id: &str) -> Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        Ok(Self { from: BufReader::new(connection), header: format!("Mesos-Stream-Id: {stream_id}\r\n") })
    }

    fn make(&mut self, call: &Call) -> Result<()> {
        self.from.get_mut().write_all(&request(call, &self.header))?;
        let head = head(&mut self.from)?;
        ensure!(head.starts_with("HTTP/1.1 202 "), "{head}");
        Ok(())
    }
}

fn head(from: &mut BufReader<TcpStream>) -> Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(from.read_line(&mut head)? > 0, "the connection was closed after {head:?}");
    }
    Ok(head)
}

fn request(call: &Call, header: &str) -> Vec<u8> {
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: master\r\nContent-Type: application/x-protobuf\r\n\
         Accept: application/x-protobuf\r\n{header}Content-Length: {}\r\n\r\n",
        call.encoded_len()
    );
    let mut request = head.into_bytes();
    call.encode(&mut request).expect("a vector has room");
    request
}

fn of(kind: call::Type) -> Call {
    let framework_id = Some(v1::FrameworkId { value: "5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11".to_owned() });
    Call { framework_id, r#type: Some(kind.into()), ..Default::default() }
}

/// Launches a task that is described in about as many bytes as one of the scheduler's.
fn accept(offer: v1::Offer, number: usize) -> Call {
    let task = TaskInfo {
        name: format!("worker-{number}"),
        task_id: v1::TaskId { value: format!("worker-{number}.1") },
        agent_id: offer.agent_id,
        resources: offer.resources,
        data: Some(vec![0; 1024]),
        ..Default::default()
    };
    let operation = v1::offer::Operation {
        r#type: Some(v1::offer::operation::Type::Launch.into()),
        launch: Some(v1::offer::operation::Launch { task_infos: vec![task] }),
        ..Default::default()
    };
    let filters = Some(v1::Filters { refuse_seconds: Some(3600.0) });
    let accept = call::Accept { offer_ids: vec![offer.id], operations: vec![operation], filters };
    Call { accept: Some(accept), ..of(call::Type::Accept) }
}

fn acknowledge(status: TaskStatus) -> Call {
    let acknowledge = call::Acknowledge {
        agent_id: status.agent_id.unwrap_or_default(),
        task_id: status.task_id,
        uuid: status.uuid.unwrap_or_default(),
    };
    Call { acknowledge: Some(acknowledge), ..of(call::Type::Acknowledge) }
}
