//! Restate from npm with its defaults: the same counter by key, asked over HTTP by the same load.

use crate::counters::{Add, BYTES};
use crate::dies_with_us;
use crate::load::Protocol;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Restate {
    children: Vec<Child>,
    ingress: u16,
    _home: tempfile::TempDir,
}

impl Restate {
    /// Installs it where the build is, if it is not there, and starts server and service. An error says what stopped it.
    pub fn start() -> Result<Self, String> {
        let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("restate");
        if server(&modules).is_none() {
            install(&modules)?;
        }
        let server = server(&modules).ok_or("npm has installed no restate-server for this machine")?;
        let service = modules.join("counter.mjs");
        std::fs::write(&service, include_str!("counter.mjs")).map_err(|e| e.to_string())?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?;
        let [ingress, admin, node, port] = free_ports();
        let mut children = Vec::new();
        let mut spawn = |command: &mut Command, name: &str| {
            let log: PathBuf = home.path().join(name);
            let log = std::fs::File::create(log).map_err(|e| e.to_string())?;
            let errors = log.try_clone().map_err(|e| e.to_string())?;
            command.stdin(Stdio::null()).stdout(log).stderr(errors).current_dir(home.path());
            children.push(dies_with_us(command).spawn().map_err(|e| format!("{name}: {e}"))?);
            Ok::<_, String>(())
        };
        spawn(Command::new("node").arg(&service).arg(port.to_string()), "node")?;
        let at = |port: u16| format!("127.0.0.1:{port}");
        spawn(
            Command::new(&server)
                .env("RESTATE_BASE_DIR", home.path().join("data"))
                .env("RESTATE_INGRESS__BIND_ADDRESS", at(ingress))
                .env("RESTATE_ADMIN__BIND_ADDRESS", at(admin))
                .env("RESTATE_BIND_ADDRESS", at(node))
                .env("RESTATE_ADVERTISED_ADDRESS", format!("http://{}", at(node)))
                .env("DO_NOT_TRACK", "1"),
            "restate-server",
        )?;
        let restate = Self { children, ingress, _home: home };
        let body = format!(r#"{{"uri":"http://127.0.0.1:{port}"}}"#);
        until(|| post(admin, "/deployments", &body))?;
        until(|| post(ingress, "/Counter/first/add", r#"{"add":1}"#))?;
        Ok(restate)
    }

    /// Server and service.
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    pub fn connections(&self, count: usize) -> Vec<(TcpStream, Post)> {
        let body = serde_json::to_string(&Add::of(BYTES)).expect("JSON");
        let connect = |n: usize| {
            let stream = TcpStream::connect(("127.0.0.1", self.ingress)).expect("it listens");
            (stream, Post(request(&format!("/Counter/key-{n}/add"), &body)))
        };
        (0..count).map(connect).collect()
    }
}

impl Drop for Restate {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program itself: what npm links to starts it as a child of its own, which would outlive it.
fn server(modules: &Path) -> Option<PathBuf> {
    let packages = std::fs::read_dir(modules.join("node_modules/@restatedev")).ok()?;
    packages.flatten().map(|package| package.path().join("bin/restate-server")).find(|program| program.exists())
}

fn install(modules: &Path) -> Result<(), String> {
    std::fs::create_dir_all(modules).map_err(|e| e.to_string())?;
    let mut npm = Command::new("npm");
    npm.arg("install").arg("--prefix").arg(modules).args(["@restatedev/restate-server", "@restatedev/restate-sdk"]);
    let done = npm.output().map_err(|e| format!("npm: {e}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let free = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    free.map(|l| l.local_addr().expect("its address").port())
}

fn request(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn until(mut done: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let since = Instant::now();
    loop {
        match done() {
            Err(e) if since.elapsed() > PATIENCE => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}

fn post(port: u16, path: &str, body: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    stream.write_all(request(path, body).as_bytes()).map_err(failed)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(failed)?;
    if head.starts_with(b"HTTP/1.1 2") { Ok(()) } else { Err(format!("{path}: {}", String::from_utf8_lossy(&head))) }
}

/// The same request again and again.
pub struct Post(String);

impl Protocol for Post {
    fn ask(&mut self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.0.as_bytes());
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<usize> {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&bytes[..head]).expect("a head is text").to_ascii_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.expect("it says how long it is").trim().parse().expect("a number");
        (bytes.len() >= head + 4 + length).then_some(head + 4 + length)
    }
}
