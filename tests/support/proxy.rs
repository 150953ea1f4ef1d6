//! One address for several servers, as a load balancer gives it: connections go to one that takes them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Ends with the runtime that it was started on.
pub struct Proxy {
    pub port: u16,
    servers: Arc<Servers>,
}

struct Servers {
    ports: Mutex<Vec<u16>>,
    next: AtomicUsize,
    /// Moves when connections are to be cut.
    cut: watch::Sender<u64>,
}

impl Proxy {
    /// Listens on a free port for the servers behind these.
    pub async fn start(ports: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let servers =
            Arc::new(Servers { ports: Mutex::new(ports), next: AtomicUsize::new(0), cut: watch::channel(0).0 });
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
}

impl Servers {
    async fn carry(self: Arc<Self>, mut client: TcpStream) {
        let mut cut = self.cut.subscribe();
        let Some(mut server) = self.connect().await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            _ = cut.changed() => {}
        }
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
