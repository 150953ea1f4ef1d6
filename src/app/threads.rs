//! Threads of the queue's own. Syncing takes all the processor time that it can get, and a webhook must not wait for it.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower than the rest their priority is, where threads have one of their own.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// A runtime that may be dropped anywhere: what still runs there is left where it is.
pub(super) struct QueueThreads(Option<Runtime>);

impl QueueThreads {
    pub fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.enable_all().thread_name("queue").on_thread_start(yield_to_webhooks);
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle()
    }
}

impl Drop for QueueThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// On Linux this is the thread's own priority, elsewhere it would be the whole program's.
fn yield_to_webhooks() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!("the queue's threads keep the priority of the others: {error}");
    }
}
