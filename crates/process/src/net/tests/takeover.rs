//! The program goes live from its log: addresses are bound again, connections are reset, nothing is said twice.

use super::*;
use std::sync::OnceLock;

fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(free_port)
}

fn echo(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port())
}

#[test]
fn a_listener_is_bound_again_and_its_connections_are_reset() {
    let mut running = Running::start(echo);
    for round in 0..5 {
        let mut kept: Vec<_> = (0..5).map(|_| client(port())).collect();
        for s in &mut kept {
            s.write_all(b"before").unwrap();
            s.read_exact(&mut [0; 6]).unwrap();
        }
        // Closed by the client while nobody is live: still a connection of the model.
        let frames = running.stop();
        let model = replayed(echo, &frames);
        assert_eq!(model.replica().k.net.sockets.len(), 6, "round {round}");
        running = Running::go_on(echo, frames);
        for s in &mut kept {
            let n = s.read(&mut [0; 6]);
            assert!(matches!(n, Ok(0) | Err(_)), "an old connection said {n:?}");
        }
        let mut s = client(port());
        s.write_all(b"after").unwrap();
        let mut back = [0; 5];
        s.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"after");
        drop(s);
        running.until_sockets(1);
    }
    running.stop();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let running = Running::start(echo_taken);
    running.until_sockets(1);
    let frames = running.stop();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port_taken())).unwrap();
    let mut host = replayed(echo_taken, &frames);
    let error = host.replica_mut().prepare().unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{}", port_taken())), "{error}");
}

fn echo_taken(k: &mut Kernel, cx: &mut Ctx<'_, '_>) -> bool {
    echo_turn(k, cx, port_taken())
}

fn port_taken() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(free_port)
}
