//! A full disk: nothing is acknowledged that is not kept, and it ends when there is room again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::{Connection, Service};

/// A file system of a few MB, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` where mounting is not allowed.
    fn mount(at: &'a Path) -> Option<Self> {
        let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(at).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: the service's files may be open for a moment longer.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_webhooks_loses_none_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    // Where mounting is not allowed, no file may grow large instead.
    let disk = SmallDisk::mount(folder.path());
    let ballast = folder.path().join("ballast");
    let service = match &disk {
        Some(_) => {
            std::fs::write(&ballast, vec![1u8; 1 << 20]).unwrap();
            Service::start(folder.path(), &[])
        }
        // The soft limit alone, so that it can be raised again; SIGXFSZ is ignored, as it is for a disk that is full.
        None => {
            let line = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 1024; exec \"$0\" \"$@\""];
            Service::start(folder.path(), &line)
        }
    };
    let mut service = service.unwrap();
    let mut connection = Connection::open(service.address).unwrap();

    let mut kept = Vec::new();
    let refused = loop {
        let lead = format!("full-{}", kept.len());
        let answer = connection.send(&lead, 20_000).unwrap();
        if answer.status != 202 {
            break answer;
        }
        kept.push(lead);
        assert!(kept.len() < 2_000, "the disk must become full");
    };
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.headers.contains("\r\nretry-after: "), "{}", refused.headers);
    assert!(!kept.is_empty());
    assert!(service.child.try_wait().unwrap().is_none(), "the service must stay up");

    match &disk {
        Some(_) => std::fs::remove_file(&ballast).unwrap(),
        None => {
            let id = service.child.id().to_string();
            let raised = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:unlimited"]).status();
            assert!(raised.is_ok_and(|status| status.success()), "prlimit must raise the limit");
        }
    }
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = connection.send("after", 100).unwrap();
        if answer.status == 202 {
            break;
        }
        assert!(Instant::now() < patience, "it must store again: {} {}", answer.status, answer.body);
        std::thread::sleep(Duration::from_millis(100));
    }
    kept.push("after".to_owned());
    drop(service);

    let database = rusqlite::Connection::open(folder.path().join("leadrelay.db")).unwrap();
    let mut find = database
        .prepare("SELECT count(*) FROM events e JOIN bodies b ON b.event_id = e.id WHERE e.lead_id = ?1")
        .unwrap();
    for lead in &kept {
        let found: i64 = find.query_row([lead], |row| row.get(0)).unwrap();
        assert_eq!(found, 1, "{lead} was acknowledged");
    }
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
