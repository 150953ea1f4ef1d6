//! The house style, as far as a test can hold it.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

/// Which crates and modules a folder may not know.
const FORBIDDEN: [(&str, &[&str]); 6] = [
    (
        "src/domain",
        &["tokio", "sqlx", "rusqlite", "axum", "reqwest", "tracing", "metrics::", "crate::store", "crate::crm"],
    ),
    ("src/store", &["crate::crm", "crate::http", "crate::queue", "reqwest", "axum"]),
    ("src/crm", &["crate::store", "crate::http", "crate::queue", "sqlx", "rusqlite", "axum"]),
    ("src/http", &["crate::store::sqlite", "crate::crm::salesforce", "sqlx", "rusqlite", "reqwest"]),
    ("src/queue", &["crate::store::sqlite", "crate::crm::salesforce", "crate::http", "sqlx", "rusqlite", "reqwest"]),
    ("src/sandbox", &["crate::store", "crate::crm", "crate::queue", "crate::domain", "crate::config"]),
];

#[test]
fn nobody_knows_whom_it_may_not_know() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().contains("tests"));
        if is_test {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let imports = code.lines().filter(|line| line.trim_start().starts_with("use ") || line.contains("pub use "));
        for line in imports {
            for (folder, forbidden) in FORBIDDEN {
                let inside = path.starts_with(folder) || path == Path::new(&format!("{folder}.rs"));
                if inside && forbidden.iter().any(|name| line.contains(name)) {
                    found.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
            let sandbox_may = ["src/sandbox", "src/cli", "src/lib.rs", "tests"];
            if line.contains("crate::sandbox") && !sandbox_may.iter().any(|start| path.starts_with(start)) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "forbidden imports:\n{}", found.join("\n"));
}

#[test]
fn no_file_is_too_long_or_named_for_nothing() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > 500 {
            found.push(format!("{} has {lines} lines; it is two things", path.display()));
        }
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if ["mod", "utils", "helpers", "common", "misc"].contains(&name.as_str()) {
            found.push(format!("{}: a name that says nothing", path.display()));
        }
        let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
        if !is_test && !text.starts_with("//!") {
            found.push(format!("{} does not say what it is", path.display()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
