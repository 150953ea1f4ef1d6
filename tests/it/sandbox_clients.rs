//! Strangers' clients, jsforce and simple-salesforce, work against the sandbox as they do against an org.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leadrelay::sandbox::{Sandbox, TlsIdentity};
use tempfile::TempDir;

/// Whether all of these can be run; if not, the test is skipped, or fails where it must not be.
fn found(programs: &[&[&str]]) -> bool {
    let runs = |command: &&[&str]| {
        let mut child = Command::new(command[0]);
        child.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        child.status().is_ok_and(|status| status.success())
    };
    let missing = programs.iter().find(|command| !runs(command));
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none(), "CI needs {}", missing.join(" "));
        println!("skipped: no {}", missing.join(" "));
    }
    missing.is_none()
}

/// The sandbox answers on the runtime's other threads while this one waits for node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jsforce_finds_an_org() {
    if !found(&[&["node", "--version"], &["npm", "--version"]]) {
        return;
    }
    let Some(folder) = tokio::task::spawn_blocking(install_jsforce).await.unwrap().unwrap() else {
        println!("skipped: npm cannot install jsforce");
        return;
    };
    for (script, content) in [("test.mjs", "jsforce is content"), ("depth.mjs", "jsforce is content with the rest")] {
        let sandbox = Sandbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (url, folder) = (sandbox.url(), folder.path().to_owned());
        let run = move || output(Command::new("node").arg(script).arg(url).current_dir(folder));
        assert_eq!(tokio::task::spawn_blocking(run).await.unwrap().unwrap().trim(), content);
        sandbox.stop().await;
    }
}

/// Speaks HTTPS alone, which the sandbox does with a certificate of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simple_salesforce_finds_an_org() {
    if !found(&[&["python3", "-c", "import venv, ensurepip"]]) {
        return;
    }
    let Some((folder, python)) = tokio::task::spawn_blocking(install_simple_salesforce).await.unwrap().unwrap() else {
        println!("skipped: pip cannot install simple-salesforce");
        return;
    };
    let identity = TlsIdentity::self_signed().unwrap();
    let certificate = folder.path().join("certificate.pem");
    std::fs::write(&certificate, identity.certificate()).unwrap();
    let sandbox = Sandbox::start_tls("127.0.0.1:0".parse().unwrap(), &identity).await.unwrap();
    let (url, script) = (sandbox.url(), folder.path().join("test.py"));
    assert!(url.starts_with("https://"));
    let run = move || output(Command::new(python).arg(script).arg(url).arg(certificate));
    let told = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert_eq!(told.trim(), "simple-salesforce is content");
    sandbox.stop().await;
}

/// Installs jsforce into a folder of its own; `None` where there is no network to fetch it.
fn install_jsforce() -> io::Result<Option<TempDir>> {
    let folder = copied("jsforce", &["package.json", "test.mjs", "depth.mjs"])?;
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    let installed = output(Command::new("npm").args(install).current_dir(folder.path()));
    fetched(installed).map(|fetched| fetched.then_some(folder))
}

/// Installs simple-salesforce into an environment of its own and gives the Python that knows it.
fn install_simple_salesforce() -> io::Result<Option<(TempDir, PathBuf)>> {
    let folder = copied("simple_salesforce", &["requirements.txt", "test.py"])?;
    let environment = folder.path().join("environment");
    output(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    let requirements = folder.path().join("requirements.txt");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let installed = output(Command::new(&python).args(install).arg(requirements));
    fetched(installed).map(|fetched| fetched.then_some((folder, python)))
}

fn copied(source: &str, files: &[&str]) -> io::Result<TempDir> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let folder = tempfile::tempdir()?;
    for file in files {
        std::fs::copy(sources.join(file), folder.path().join(file))?;
    }
    Ok(folder)
}

/// Without a network there is nothing to test with, which only CI takes for a failure.
fn fetched(installed: io::Result<String>) -> io::Result<bool> {
    match installed {
        Err(_) if std::env::var_os("CI").is_none() => Ok(false),
        installed => installed.map(|_| true),
    }
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
