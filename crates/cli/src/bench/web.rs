//! The row of nginx.

use super::bed::{Bed, Way};
use super::rows::Series;
use std::fs;
use std::path::Path;

const CONNECTIONS: &str = "16";
const SECONDS: &str = "2s";
/// The small file.
const BODY_BYTES: usize = 1024;

/// A configuration that writes nowhere else than in `place`, where the file to serve is, too.
fn site(place: &Path) -> std::io::Result<String> {
    fs::write(place.join("small.html"), "x".repeat(BODY_BYTES))?;
    // SAFETY: a plain system call.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    let place = place.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|t| format!("{t}_temp_path {place}/{t};"));
    Ok(format!(
        "daemon off; worker_processes 2; {user} pid {place}/pid; error_log stderr notice;\nevents {{ worker_connections 64; }}\n\
         http {{ access_log off; {} server {{ listen 127.0.0.1:PORT; root {place}; }} }}\n",
        temporary.join(" ")
    ))
}

pub fn nginx(bed: &mut Bed) -> Result<Series, String> {
    let place = bed.fresh_dir()?;
    let configuration = site(place.path()).map_err(crate::text)?;
    let file = place.path().join("nginx.conf");
    bed.in_turns(&[Way::Native, Way::Unpinned, Way::Recorded], |bed, way| {
        let program = |port: u16| {
            // A file that cannot be written is one that nginx cannot read, and says so.
            let _ = fs::write(&file, configuration.replace("PORT", &port.to_string()));
            let name = |path: &Path| path.to_path_buf().into_os_string();
            vec![
                "nginx".into(),
                "-e".into(),
                "stderr".into(),
                "-p".into(),
                name(place.path()),
                "-c".into(),
                name(&file),
            ]
        };
        let server = bed.serve(way, program, |port| Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
        let url = format!("http://127.0.0.1:{}/small.html", server.port);
        let said = bed.client(&["wrk", "-t", "1", "-c", CONNECTIONS, "-d", SECONDS, &url])?;
        Ok(vec![(way.name().to_owned(), rate(&said)?)])
    })
}

/// Requests a second, from what wrk said; an error if an answer was one.
fn rate(said: &str) -> Result<f64, String> {
    let field = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let wrong = field("Non-2xx or 3xx responses:").or_else(|| field("Socket errors:"));
    if let Some(wrong) = wrong {
        return Err(format!("wrk counted errors: {wrong}"));
    }
    field("Requests/sec:").and_then(|rate| rate.parse().ok()).ok_or_else(|| format!("wrk said {}", said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let said = "  7 requests in 2.00s, 9.01KB read\nRequests/sec:   1234.50\nTransfer/sec:      4.50KB\n";
        assert_eq!(rate(said), Ok(1234.5));
        let wrong = format!("  Non-2xx or 3xx responses: 7\n{said}");
        assert_eq!(rate(&wrong), Err("wrk counted errors: 7".into()));
        assert_eq!(rate("unable to connect\n"), Err("wrk said unable to connect".into()));
    }
}
