//! A stranger's client, jsforce, works against the sandbox as it does against an org.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use leadrelay::sandbox::Sandbox;

/// The sandbox answers on the runtime's other threads while this one waits for node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jsforce_finds_an_org() {
    let found =
        |program| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found("node") || !found("npm") {
        assert!(std::env::var_os("CI").is_none(), "CI needs node and npm");
        println!("skipped: no node");
        return;
    }
    let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = sandbox.url();
    match tokio::task::spawn_blocking(move || drive(&url)).await.unwrap().unwrap() {
        Some(told) => assert_eq!(told.trim(), "jsforce is content"),
        None => println!("skipped: npm cannot install jsforce"),
    }
    sandbox.stop().await;
}

/// Installs jsforce into a folder of its own and runs the script there; `None` where there is no network to fetch it.
fn drive(url: &str) -> io::Result<Option<String>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/jsforce");
    let folder = tempfile::tempdir()?;
    for file in ["package.json", "test.mjs"] {
        std::fs::copy(sources.join(file), folder.path().join(file))?;
    }
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    match output(Command::new("npm").args(install).current_dir(folder.path())) {
        Err(_) if std::env::var_os("CI").is_none() => return Ok(None),
        installed => installed?,
    };
    output(Command::new("node").arg("test.mjs").arg(url).current_dir(folder.path())).map(Some)
}

/// What a command printed; an error with all of its output where it failed.
fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(told.into_owned())
    } else {
        Err(io::Error::other(format!("{command:?}\n{told}\n{complained}")))
    }
}
