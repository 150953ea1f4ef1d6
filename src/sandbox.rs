//! A local Salesforce: the CRM of the demo, of rehearsals and of tests.
//!
//! It speaks the REST API that a client of leads needs, over real HTTP, and is never laxer than an org: what an org
//! refuses, it refuses; what counts as a call, it counts. Under `/_sandbox` it can be looked into, edited as a person
//! would, and told to misbehave as networks and orgs do. It imports nothing of the service that is tested against it.
//!
//! A request goes `server` → `rest` (or `oauth`, `control`) → `records`, `collections`, `composite`,
//! `query` → `write` and `table`, all inside one lock around the `world`.

mod assertion;
mod checks;
mod codes;
mod collections;
mod composite;
mod conditions;
mod control;
mod convert;
mod derive;
mod describe;
mod duplicates;
mod error;
mod faults;
mod fields;
mod geography;
mod ids;
mod login_key;
mod merge;
mod oauth;
mod permissions;
mod query;
mod records;
mod references;
mod rest;
mod schema;
mod seed;
mod server;
mod soap;
mod soql;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod tooling;
mod validate;
mod value;
mod wire;
mod world;
mod write;
mod xml;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use server::Shared;

pub use login_key::{LoginKey, LoginKeyError};
pub use tls::{TlsError, TlsIdentity};

/// What an org is started with.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Over HTTPS as this one; over HTTP if left out.
    pub tls: Option<&'a TlsIdentity>,
    /// Whose assertions log the integration user in; nobody's if left out.
    pub login_key: Option<LoginKey>,
}

/// The sandbox before it runs.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// Starts an empty org on this address; port 0 takes a free one.
    pub async fn start(listen: SocketAddr) -> io::Result<RunningSandbox> {
        Self::start_with(listen, Options::default()).await
    }

    /// The same over HTTPS.
    pub async fn start_tls(listen: SocketAddr, identity: &TlsIdentity) -> io::Result<RunningSandbox> {
        Self::start_with(listen, Options { tls: Some(identity), ..Options::default() }).await
    }

    /// Starts one with options.
    pub async fn start_with(listen: SocketAddr, options: Options<'_>) -> io::Result<RunningSandbox> {
        let tls = options.tls.map(TlsIdentity::acceptor);
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        let shared = Arc::new(Shared::new(url.clone(), options.login_key));
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(accept(listener, shared, tls, stopped));
        Ok(RunningSandbox { address, url, stop, task })
    }
}

/// An org that answers until it is stopped or dropped; what it held is gone then.
#[derive(Debug)]
pub struct RunningSandbox {
    address: SocketAddr,
    url: String,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningSandbox {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The org's own URL, which its tokens name as `instance_url`; without a slash at the end.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends every connection, answered or not, and frees the port.
    pub async fn stop(self) {
        drop(self.stop);
        // The task only fails if it panicked or was aborted; either way it no longer listens.
        let _ = self.task.await;
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&shared), tls.clone()));
                }
                // Out of file handles, say: the next accept fails at once, so wait for some to be freed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let reset = Arc::new(AtomicBool::new(false));
    let plain = Resettable { stream, reset: Arc::clone(&reset) };
    match tls {
        None => talk(plain, shared, reset).await,
        // A client that does not trust the certificate hangs up here.
        Some(tls) => {
            if let Ok(secured) = tls.accept(plain).await {
                talk(secured, shared, reset).await;
            }
        }
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: Arc<Shared>, reset: Arc<AtomicBool>) {
    let service = service_fn(move |request| server::serve(Arc::clone(&shared), Arc::clone(&reset), request));
    let io = TokioIo::new(stream);
    // Errors end this connection only: the client hung up, or a fault was ordered.
    // Idle connections are kept: one that closes by itself would look like a fault that nobody ordered.
    let _ =
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(None).serve_connection(io, service).await;
}

/// A connection whose end can be a TCP reset, so that the client sees an error and no orderly close.
struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            // Without it the client sees the connection close instead of break; both lose the answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Skipped before a reset, which the orderly end would pre-empt.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
