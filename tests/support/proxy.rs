//! One address for several servers, as a load balancer gives it: connections go to one that takes them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Ends with the runtime that it was started on.
pub struct Proxy {
    pub port: u16,
    servers: Arc<Servers>,
}

/// How a connection breaks in the midst of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The server never gets the request.
    BeforeIt,
    /// The server does what it was asked, and its answer does not arrive.
    BeforeItsAnswer,
}

struct Servers {
    ports: Mutex<Vec<u16>>,
    next: AtomicUsize,
    /// Moves when connections are to be cut.
    cut: watch::Sender<u64>,
    /// The next request with these bytes in it breaks so.
    ordered: Mutex<Option<(Vec<u8>, Break)>>,
}

impl Proxy {
    /// Listens on a free port for the servers behind these.
    pub async fn start(ports: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let servers = Arc::new(Servers {
            ports: Mutex::new(ports),
            next: AtomicUsize::new(0),
            cut: watch::channel(0).0,
            ordered: Mutex::default(),
        });
        let accepting = Arc::clone(&servers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).carry(client));
            }
        });
        Self { port, servers }
    }

    /// Sends new connections to these servers from now on; those that are open go on.
    pub fn send_to(&self, ports: Vec<u16>) {
        *self.servers.ports.lock().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    /// Cuts every open connection.
    pub fn cut(&self) {
        self.servers.cut.send_modify(|times| *times += 1);
    }

    /// Breaks the connection of the next request that contains these bytes.
    pub fn break_at(&self, bytes: &[u8], how: Break) {
        *self.servers.ordered.lock().unwrap_or_else(PoisonError::into_inner) = Some((bytes.to_vec(), how));
    }

    /// Whether what was ordered has not happened yet.
    pub fn is_whole(&self) -> bool {
        self.servers.ordered.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Servers {
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut cut = self.cut.subscribe();
        let Some(mut server) = self.connect().await else { return };
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let broken = tokio::select! {
            broken = self.hand_on(&mut from_client, &mut to_server) => broken,
            _ = copy(&mut from_server, &mut to_client) => None,
            _ = cut.changed() => None,
        };
        if broken == Some(Break::BeforeItsAnswer) {
            // That it comes tells that all is done. Whoever waits for it has patience.
            let _ = from_server.readable().await;
        }
    }

    /// Hands on what the client says until it says nothing more, or the connection is to break.
    async fn hand_on(&self, from_client: &mut ReadHalf<'_>, to_server: &mut WriteHalf<'_>) -> Option<Break> {
        let mut said = vec![0; 64 * 1024];
        loop {
            let length = from_client.read(&mut said).await.ok().filter(|length| *length > 0)?;
            let broken = self.breaks(&said[..length]);
            if broken != Some(Break::BeforeIt) {
                to_server.write_all(&said[..length]).await.ok()?;
            }
            if broken.is_some() {
                return broken;
            }
        }
    }

    /// How the connection breaks on which this is said, if that was ordered.
    fn breaks(&self, said: &[u8]) -> Option<Break> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(bytes, _): &mut (Vec<u8>, Break)| said.windows(bytes.len()).any(|window| window == bytes);
        ordered.take_if(is_it).map(|(_, how)| how)
    }

    /// The next server in turn that takes a connection.
    async fn connect(&self) -> Option<TcpStream> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for n in 0..ports.len() {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", ports[(first + n) % ports.len()])).await {
                return Some(server);
            }
        }
        None
    }
}
