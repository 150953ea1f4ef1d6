//! Serving a router on a listener, with a bound on everything that a client can make wait or grow.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tracing::{debug, warn};

/// What clients may ask of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Open connections; further ones wait in the system's backlog.
    pub connections: usize,
    /// How long a request's head may take to arrive, and an idle connection stays open.
    pub head_within: Duration,
    /// How long requests in flight may go on after the stop.
    pub grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { connections: 1024, head_within: Duration::from_secs(10), grace: Duration::from_secs(30) }
    }
}

/// Beside it hyper takes at most 100 header fields.
const HEAD_BYTES: usize = 64 * 1024;
/// A failed accept (too many open files) would else be repeated in a busy loop.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves until `stop` ends; then takes no more connections, lets requests in flight finish within the grace period, and
/// returns.
pub async fn serve(listener: TcpListener, router: Router, limits: ServeLimits, stop: impl Future<Output = ()>) {
    let server = Server { router, builder: builder(limits), graceful: GracefulShutdown::new() };
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, connection) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match connection {
            Ok((stream, _)) => server.spawn(stream, place),
            Err(error) => {
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, server.graceful.shutdown()).await.is_err() {
        warn!("requests were still in flight after {} s and are cut off", limits.grace.as_secs());
    }
}

fn builder(limits: ServeLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_header_size(HEAD_BYTES)
        .keep_alive(true);
    builder
}

struct Server {
    router: Router,
    builder: http1::Builder,
    graceful: GracefulShutdown,
}

impl Server {
    fn spawn(&self, stream: TcpStream, place: tokio::sync::OwnedSemaphorePermit) {
        // Without it an answer may wait 40 ms for the client's acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "could not set TCP_NODELAY");
        }
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let answer = router.clone().oneshot(request.map(Body::new));
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}
