//! Waking the workers of all processes: what one commits, the others hear of by NOTIFY.
//!
//! Nothing is lost with a lost notification but time: workers look by themselves every few seconds.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};
use uuid::Uuid;

const CHANNEL: &str = "leadrelay_due";
/// Between two notifications of one process: each commit that carries one waits for a lock of the whole server.
const BETWEEN: Duration = Duration::from_millis(20);
/// After so long without news the server is asked whether it is still there.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// Until a lost connection is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The tasks that wake; they end when this is dropped.
pub(super) struct Notifier {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Notifier {
    /// Whenever `here` moves, `due` does, and the other processes are told; when they tell us, `due` moves.
    ///
    /// Answers once they are heard, so that nothing is missed between a worker's first look and then.
    pub(super) async fn start(
        pool: &PgPool,
        replica: Uuid,
        here: watch::Receiver<u64>,
        due: &Arc<watch::Sender<u64>>,
    ) -> Self {
        let hand_on = tokio::spawn(hand_on(here.clone(), Arc::clone(due)));
        let tell = tokio::spawn(tell(pool.clone(), replica, here));
        let first = connect(pool).await;
        let listen = tokio::spawn(listen(pool.clone(), first, replica, Arc::clone(due)));
        Self { tasks: vec![hand_on, tell, listen] }
    }

    /// Before the pool is closed, which waits for the listener's connection.
    pub(super) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn wake(due: &watch::Sender<u64>) {
    due.send_modify(|times| *times = times.wrapping_add(1));
}

async fn hand_on(mut here: watch::Receiver<u64>, due: Arc<watch::Sender<u64>>) {
    while here.changed().await.is_ok() {
        wake(&due);
    }
}

async fn tell(pool: PgPool, replica: Uuid, mut here: watch::Receiver<u64>) {
    // Nothing that was committed depends on it, so it need not be on disk.
    let notify = format!("SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}, '{replica}'");
    while here.changed().await.is_ok() {
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(notify.as_str())).execute(&pool).await {
            debug!("other processes were not told that jobs are due, and find out by looking: {error}");
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

async fn listen(pool: PgPool, first: Result<PgListener, sqlx::Error>, replica: Uuid, due: Arc<watch::Sender<u64>>) {
    let ours = replica.to_string();
    let (mut connected, mut lost) = (first, false);
    loop {
        match connected {
            Ok(mut listener) => {
                if std::mem::take(&mut lost) {
                    info!("notifications of other processes come in again");
                    // Whatever was told meanwhile.
                    wake(&due);
                }
                let error = hear(&mut listener, &ours, &due).await;
                lost = true;
                warn!("notifications of other processes do not come in: {error}; looking every few seconds instead");
            }
            Err(error) => {
                if !std::mem::replace(&mut lost, true) {
                    warn!(
                        "notifications of other processes do not come in: {error}; looking every few seconds instead"
                    );
                }
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
        connected = connect(&pool).await;
    }
}

/// Answers why nothing comes in any more.
async fn hear(listener: &mut PgListener, ours: &str, due: &watch::Sender<u64>) -> String {
    loop {
        let heard = match tokio::time::timeout(ASK_AFTER, listener.try_recv()).await {
            Ok(heard) => heard,
            // A network that drops everything would look like silence.
            Err(_) => match tokio::time::timeout(ASK_AFTER, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => Err(error),
                Err(_) => return "the server does not answer".to_owned(),
            },
        };
        match heard {
            Ok(Some(told)) if told.payload() == ours => {}
            Ok(Some(_)) => wake(due),
            Ok(None) => return "the connection was lost".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

async fn connect(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
