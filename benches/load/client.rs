//! Keep-alive connections that send prepared requests: one thread, sockets alone, since a client library would cost more
//! than the server.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What a run measured.
pub struct Run {
    pub accepted: usize,
    pub refused: usize,
    pub elapsed: Duration,
    /// Of each answer, ascending. Where a rate was asked for, from the moment at which the request was due.
    pub latencies: Vec<Duration>,
}

impl Run {
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends requests over so many connections until they are used up or the time is over; at `rate` per second if there is one,
/// else each connection as quickly as it is answered.
pub fn send(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    within: Duration,
    rate: Option<f64>,
) -> io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests: Rc<[Vec<u8>]> = requests.to_vec().into();
    LocalSet::new().block_on(&runtime, async move {
        let (next, refused) = (Rc::new(Cell::new(0usize)), Rc::new(Cell::new(0usize)));
        let latencies = Rc::new(RefCell::new(Vec::with_capacity(requests.len())));
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let begun = Instant::now();
        let mut senders = Vec::new();
        for mut stream in streams {
            let (requests, next, refused) = (Rc::clone(&requests), Rc::clone(&next), Rc::clone(&refused));
            let latencies = Rc::clone(&latencies);
            senders.push(tokio::task::spawn_local(async move {
                let mut answer = Vec::with_capacity(1024);
                while begun.elapsed() < within {
                    let mine = next.get();
                    let Some(request) = requests.get(mine) else { break };
                    next.set(mine + 1);
                    let mut due = Instant::now();
                    if let Some(rate) = rate {
                        due = begun + Duration::from_secs_f64(mine as f64 / rate);
                        tokio::time::sleep_until(due.into()).await;
                    }
                    stream.write_all(request).await?;
                    if read_status(&mut stream, &mut answer).await? == 202 {
                        latencies.borrow_mut().push(due.elapsed());
                    } else {
                        refused.set(refused.get() + 1);
                    }
                }
                io::Result::Ok(())
            }));
        }
        for sender in senders {
            sender.await??;
        }
        let mut latencies = latencies.take();
        latencies.sort_unstable();
        Ok(Run { accepted: latencies.len(), refused: refused.get(), elapsed: begun.elapsed(), latencies })
    })
}

/// Reads one whole answer.
async fn read_status(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<u16> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or_default() {
            return head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .ok_or_else(|| io::Error::other("no status"));
        }
    }
}
