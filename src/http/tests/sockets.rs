//! What only shows on a connection: framing, slow senders, limits, stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::fixtures::{MAX_BODY, MemoryLog, NOW, intake, lead, signature};
use crate::http::serve::{ServeLimits, serve};
use crate::http::{BodyLimits, public_router};

const BODY_WITHIN: Duration = Duration::from_secs(1);

struct Running {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn start(log: &Arc<MemoryLog>, limits: ServeLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = public_router(intake(log.clone()), BodyLimits { most: MAX_BODY, within: BODY_WITHIN });
    let server = tokio::spawn(async move {
        serve(listener, router, limits, async { drop(stopped.await) }).await;
    });
    Running { at, stop, server }
}

/// Everything that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("it closes").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(headers: &str, signed: &[u8]) -> String {
    let signature =
        signature(signed, NOW).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    format!("POST /webhooks/klozeo HTTP/1.1\r\nHost: x\r\n{signature}{headers}\r\n")
}

async fn send_chunked(at: SocketAddr, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = request("Transfer-Encoding: chunked\r\nConnection: close\r\n", body);
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body.chunks(1000) {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
        stream.write_all(piece).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_body_without_length_is_read_whole_or_answered_413() {
    let log = Arc::new(MemoryLog::default());
    let running = start(&log, ServeLimits::default()).await;
    let fits = format!("{:width$}", String::from_utf8(lead("cl_1", "e1")).unwrap(), width = MAX_BODY);
    let answer = send_chunked(running.at, fits.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(log.events.lock().unwrap()[0].body, fits.as_bytes());
    let answer = send_chunked(running.at, &vec![b' '; 4 * MAX_BODY]).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("urn:leadrelay:problem:too-large"), "{answer}");
    assert_eq!(log.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_that_is_still_sending_too_much_sees_the_answer() {
    let running = start(&Arc::default(), ServeLimits::default()).await;
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    let length = 4 * MAX_BODY;
    stream.write_all(request(&format!("Content-Length: {length}\r\n"), b"").as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; length]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let running = start(&Arc::default(), ServeLimits::default()).await;
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    let headers = "Content-Length: 100000000\r\nExpect: 100-continue\r\n";
    stream.write_all(request(headers, b"").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_ends_the_connection() {
    let limits = ServeLimits { head_within: Duration::from_millis(50), ..ServeLimits::default() };
    let running = start(&Arc::default(), limits).await;
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    stream.write_all(b"POST /webhooks/klozeo HTTP/1.1\r\nHost:").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(!answer.contains("202"), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_in_too_slowly_is_given_up() {
    let log = Arc::new(MemoryLog::default());
    let running = start(&log, ServeLimits::default()).await;
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    stream.write_all(request("Content-Length: 100\r\n", b"").as_bytes()).await.unwrap();
    stream.write_all(b"{").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(log.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let running = start(&Arc::default(), ServeLimits::default()).await;
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    let long = format!("X-Long: {}\r\n", "a".repeat(70_000));
    stream.write_all(request(&long, b"").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_a_place() {
    let limits = ServeLimits { connections: 1, ..ServeLimits::default() };
    let running = start(&Arc::default(), limits).await;
    let ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut first = TcpStream::connect(running.at).await.unwrap();
    first.write_all(ask).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(running.at).await.unwrap();
    second.write_all(ask).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(waits.is_err(), "it was served beside the first");
    drop(first);
    tokio::time::timeout(Duration::from_secs(5), second.read_exact(&mut byte)).await.expect("it is served").unwrap();
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_finish() {
    let log = Arc::new(MemoryLog::default());
    let running = start(&log, ServeLimits::default()).await;
    let body = lead("cl_1", "e1");
    let (begun, left) = body.split_at(10);
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    let head = request(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()), &body);
    stream.write_all(head.as_bytes()).await.unwrap();
    // The interim answer proves that the handler reads the body by now.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(begun).await.unwrap();
    running.stop.send(()).unwrap();
    stream.write_all(left).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), running.server).await.expect("the server ends").unwrap();
    assert!(TcpStream::connect(running.at).await.is_err(), "it still takes connections");
}
