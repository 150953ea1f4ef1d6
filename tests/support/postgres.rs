//! PostgreSQL servers of the tests' own: made when they are first asked for, and gone when the test process ends, however
//! it ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use leadrelay::store::postgres::{Options, PostgresStore};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// Every cluster's settings. Few buffers, since several clusters may run at once.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 500
shared_buffers = '64MB'
";
/// What many short-lived databases need: nothing of theirs has to outlive the machine.
const HASTY: &str = "fsync = off\nfull_page_writes = off\n";
/// Where Linux keeps files in memory, and how many bytes must be free there before the shared server's files go there: a
/// database is hundreds of files, and a disk's file system takes longer to make and delete them than most tests run.
const MEMORY: &str = "/dev/shm";
const ENOUGH_MEMORY: u64 = 2 << 30;
/// The database that others are copies of.
const TEMPLATE: &str = "leadrelay_template";
/// What a standby is called where its primary waits for it.
const STANDBY: &str = "standby";
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Waits for the end of its input, which comes with the end of the test process; then it stops the server and takes the
/// folder away. In a process group of its own, so that Ctrl-C does not end it first.
const KEEPER: &str = r#"
trap '' INT TERM HUP
read -r _
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -f "$0/data/postmaster.pid" ] || break
    sleep 0.2
done
rm -rf "$0"
"#;

/// The server that all tests of this process share, each with databases of its own; `None` where there is no PostgreSQL.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    let make = || Some(Cluster::make(&Programs::find()?, &hasty_folder(), HASTY, &[]));
    SHARED.get_or_init(make).as_ref()
}

/// Whether there is PostgreSQL; where not, says so and fails where `CI` is set.
pub fn is_there() -> bool {
    let found = Programs::find().is_some();
    if !found {
        say_skipped();
    }
    found
}

/// The shared server. Where there is no PostgreSQL the test is over: it says so, and fails where `CI` is set.
pub fn shared_or_skipped() -> Option<&'static Cluster> {
    let shared = shared();
    if shared.is_none() {
        say_skipped();
    }
    shared
}

fn say_skipped() {
    assert!(std::env::var_os("CI").is_none(), "CI needs PostgreSQL");
    println!("skipped: no PostgreSQL");
}

/// One server with its data.
pub struct Cluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    keeper: Child,
    template: OnceLock<()>,
    databases: AtomicU32,
    /// Databases that no test uses any more.
    left: Mutex<Vec<String>>,
}

/// A database of one test, with leadrelay's schema. Dropped some time after this.
pub struct Database {
    pub url: String,
    name: String,
    cluster: &'static Cluster,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.cluster.left.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

impl Cluster {
    /// A server of the test's own that keeps what it commits, with these lines of configuration besides; `None` where
    /// there is no PostgreSQL, which it has said then.
    pub fn new(settings: &str) -> Option<Self> {
        Self::with_files(settings, &[])
    }

    /// The same with these files among its data, by name and content.
    pub fn with_files(settings: &str, files: &[(&str, &str)]) -> Option<Self> {
        let programs = Programs::find();
        if programs.is_none() {
            say_skipped();
        }
        Some(Self::make(&programs?, &std::env::temp_dir(), settings, files))
    }

    fn make(programs: &Programs, parent: &Path, settings: &str, files: &[(&str, &str)]) -> Self {
        let mut cluster = Self::empty(programs, parent);
        let made = cluster.run("initdb", &["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        made.unwrap();
        cluster.configure(&format!("{SETTINGS}{settings}"));
        for (name, content) in files {
            cluster.write(name, content);
        }
        cluster.start_somewhere();
        cluster
    }

    /// A folder for a server, and the process that takes it away at the end.
    fn empty(programs: &Programs, parent: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("leadrelay-postgres-").tempdir_in(parent).unwrap().keep();
        if let Some((user, group)) = programs.user {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        }
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Self {
            programs: programs.clone(),
            folder,
            port: 0,
            keeper: keeper.unwrap(),
            template: OnceLock::new(),
            databases: AtomicU32::new(0),
            left: Mutex::default(),
        }
    }

    /// Where a database of this server is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A fresh database with the newest schema.
    pub async fn database(&'static self) -> Database {
        let name = self.create_database().await;
        Database { url: self.url(&name), name, cluster: self }
    }

    /// The same on any server; the database goes with it.
    pub async fn create_database(&self) -> String {
        // On a thread of its own: opening leaves tasks behind that must not outlive it.
        self.template.get_or_init(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(self.make_template())).join().unwrap()
            })
        });
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        for left in left {
            self.execute(&format!("DROP DATABASE IF EXISTS {left} WITH (FORCE)")).await;
        }
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
        name
    }

    async fn make_template(&self) {
        let mut db = connect(&self.url("postgres")).await;
        // Text in an order of its own, which must not matter; such databases are made since PostgreSQL 15.
        let ordered = format!("CREATE DATABASE {TEMPLATE} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
        if sqlx::raw_sql(AssertSqlSafe(ordered)).execute(&mut db).await.is_err() {
            self.execute(&format!("CREATE DATABASE {TEMPLATE}")).await;
        }
        db.close().await.unwrap();
        let options = Options { accept_unsafe_server: true, ..Options::default() };
        drop(PostgresStore::open(&self.url(TEMPLATE), options).await.unwrap());
        // A database that someone is connected to cannot be copied.
        self.execute(&format!("ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")).await;
        self.execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"
        ))
        .await;
    }

    /// Runs one statement in the server's own database.
    pub async fn execute(&self, sql: &str) {
        let mut db = connect(&self.url("postgres")).await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    /// Has one user of the server be let in by this method from now on: `scram-sha-256`, `reject`.
    pub fn let_in(&self, user: &str, method: &str) {
        let rules = self.data().join("pg_hba.conf");
        let others = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("host all {user} 127.0.0.1/32 {method}\n{others}")).unwrap();
        self.run("pg_ctl", &["reload"]).unwrap();
    }

    /// Ends the server as a crash would. Committed data stays, connections are cut.
    pub fn stop_immediate(&self) {
        self.run("pg_ctl", &["stop", "-m", "immediate", "-w"]).unwrap();
    }

    /// Starts it again at its old address.
    pub fn start(&self) {
        self.try_start(self.port).unwrap();
    }

    /// A running copy that follows this server, which waits from now on until the copy has written what it commits.
    pub async fn standby(&self) -> Self {
        let mut standby = Self::empty(&self.programs, &std::env::temp_dir());
        let primary = format!("host=127.0.0.1 port={} user=postgres", self.port);
        standby.run("pg_basebackup", &["-d", &primary, "-R", "-X", "stream", "-c", "fast"]).unwrap();
        standby.configure(&format!("cluster_name = '{STANDBY}'\n"));
        standby.start_somewhere();
        self.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")).await;
        self.execute("SELECT pg_reload_conf()").await;
        let mut db = connect(&self.url("postgres")).await;
        let until = Instant::now() + LONGEST_WAIT;
        let waits_for = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        while sqlx::query_scalar::<_, i64>(waits_for).fetch_one(&mut db).await.unwrap() == 0 {
            assert!(Instant::now() < until, "the standby does not follow\n{}", standby.end_of_log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        standby
    }

    /// Makes a standby a server of its own, which waits for no other.
    pub async fn promote(&self) {
        self.run("pg_ctl", &["promote", "-w"]).unwrap();
        self.execute("ALTER SYSTEM SET synchronous_standby_names = ''").await;
        self.execute("SELECT pg_reload_conf()").await;
    }

    /// Starts it at a free port below those from which the system takes the outgoing ones, so that it can come back.
    fn start_somewhere(&mut self) {
        for _ in 0..20 {
            let port = fastrand::u16(10_000..30_000);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() && self.try_start(port).is_ok() {
                self.port = port;
                return;
            }
        }
        panic!("PostgreSQL does not start\n{}", self.end_of_log());
    }

    fn try_start(&self, port: u16) -> io::Result<()> {
        let log = self.folder.join("log");
        self.run("pg_ctl", &["start", "-w", "-l", &log.to_string_lossy(), "-o", &format!("-p {port}")])
    }

    fn configure(&self, settings: &str) {
        let mut file = File::options().append(true).open(self.data().join("postgresql.conf")).unwrap();
        file.write_all(settings.as_bytes()).unwrap();
    }

    /// Puts a file among the data that only the server may read: it takes no other for a private key.
    fn write(&self, name: &str, content: &str) {
        let path = self.data().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((user, group)) = self.programs.user {
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        }
    }

    /// Runs one of PostgreSQL's programs on the data, as the user who may.
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<()> {
        let said = self.folder.join("said");
        let mut command = Command::new(self.programs.folder.join(program));
        // A file, since the server that this starts keeps its output open.
        let output = File::create(&said)?;
        command
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("PGOPTIONS")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some((user, group)) = self.programs.user {
            command.uid(user).gid(group);
        }
        if command.status()?.success() {
            return Ok(());
        }
        let said = fs::read_to_string(said)?;
        Err(io::Error::other(format!("{program} {arguments:?}: {said}\n{}", self.end_of_log())))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It may have been ended by hand.
        let _ = self.keeper.wait();
    }
}

/// Where the shared server's files go.
fn hasty_folder() -> PathBuf {
    let free = |system: rustix::fs::StatVfs| system.f_bavail * system.f_frsize;
    let roomy = rustix::fs::statvfs(MEMORY).is_ok_and(|system| free(system) >= ENOUGH_MEMORY);
    if roomy { PathBuf::from(MEMORY) } else { std::env::temp_dir() }
}

pub async fn connect(url: &str) -> PgConnection {
    PgConnectOptions::from_str(url).unwrap().connect().await.unwrap()
}

/// Where PostgreSQL's programs are, and the user and group to run them as if not one's own: they refuse root.
#[derive(Clone)]
struct Programs {
    folder: PathBuf,
    user: Option<(u32, u32)>,
}

impl Programs {
    fn find() -> Option<Self> {
        let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
        let told = output("pg_config", &["--bindir"]).map(PathBuf::from);
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
        let mut debian: Vec<PathBuf> = debian.collect();
        let version = |folder: &Path| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        debian.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
        let debian = debian.into_iter().map(|folder| folder.join("bin"));
        let needed = ["initdb", "pg_ctl", "postgres", "pg_basebackup"];
        let has_all = |folder: &PathBuf| needed.iter().all(|name| folder.join(name).is_file());
        let folder = on_path.into_iter().chain(told).chain(debian).find(has_all)?;
        let user = rustix::process::geteuid().is_root().then(|| {
            let id = |which, user| output("id", &[which, user])?.parse::<u32>().ok();
            let of = |user| Some((id("-u", user)?, id("-g", user)?));
            of("postgres").or_else(|| of("nobody")).expect("root needs another user to run PostgreSQL as")
        });
        Some(Self { folder, user })
    }
}

/// What a command prints, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
