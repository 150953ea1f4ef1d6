//! Files that only their owner reads: they hold people's data.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// Makes an empty file for its owner alone, which SQLite then fills; one that is there already keeps its rights.
pub(super) fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
