//! The real binary as a process of its own, and webhooks sent to it over plain sockets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub const SECRET: &str = "leadrelay-test-secret";

/// Where nobody listens.
const NO_CRM: &str = "http://127.0.0.1:9";

/// The configuration of a service that syncs to this CRM.
pub fn configuration(webhooks: SocketAddr, crm: &str) -> String {
    format!(
        r#"
[server]
listen = "{webhooks}"
[admin]
listen = "127.0.0.1:0"
[sources.klozeo]
preset = "klozeo"
secrets = ["{SECRET}"]
[destinations.crm]
kind = "salesforce"
login = {{ flow = "client_credentials", url = "{crm}", client_id = "a", client_secret = "b" }}
[destinations.crm.records]
external_id = "Lead_System_Id__c"
[[destinations.crm.fields]]
lead = "name"
crm = "LastName"
type = "text"
[[destinations.crm.fields]]
lead = "company"
crm = "Company"
type = "text"
default = "Unknown"
"#
    )
}

/// `leadrelay serve` in a folder, behind the command line of a tool that starts it; killed when dropped.
pub struct Service {
    pub child: Child,
    pub address: SocketAddr,
}

impl Service {
    /// Starts it with a CRM that nobody listens for.
    pub fn start(folder: &Path, before: &[&str]) -> io::Result<Self> {
        Self::start_with(folder, NO_CRM, before)
    }

    /// Starts it and waits until it answers; an error with its log where it does not.
    pub fn start_with(folder: &Path, crm: &str, before: &[&str]) -> io::Result<Self> {
        let address = free_address()?;
        std::fs::write(folder.join("leadrelay.toml"), configuration(address, crm))?;
        let program = env!("CARGO_BIN_EXE_leadrelay");
        let mut line = before.iter().copied().chain([program, "serve"]);
        let log = std::fs::File::create(folder.join("log"))?;
        let mut command = Command::new(line.next().unwrap_or(program));
        command.args(line).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.env("LEADRELAY_LOG", "warn").spawn()?;
        let mut service = Self { child, address };
        let patience = Instant::now() + Duration::from_secs(30);
        while Connection::open(address).is_err() {
            if Instant::now() > patience || service.child.try_wait()?.is_some() {
                return Err(io::Error::other(std::fs::read_to_string(folder.join("log"))?));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// One connection on which webhooks are sent, each once the one before was answered.
pub struct Connection(BufReader<TcpStream>);

/// What a webhook was answered.
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends one signed webhook of a lead of its own.
    pub fn send(&mut self, lead: &str, filling: usize) -> io::Result<Answer> {
        let body = format!(
            r#"{{"event":"lead.created","timestamp":1760000000,"data":{{"id":"{lead}","name":"Ann Lee","description":"{}"}}}}"#,
            "x".repeat(filling)
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).map_err(io::Error::other)?;
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let length = body.len();
        let request = format!(
            "POST /webhooks/klozeo HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nx-klozeo-signature: {signature}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        self.read_answer()
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut headers)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let headers = headers.to_ascii_lowercase();
        let word = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = word.ok_or_else(|| io::Error::other("no status"))?;
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
