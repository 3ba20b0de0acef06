//! What `demo` and `bench` start, kill and speak to on this machine; it knows nothing of what it is for.

pub mod clients;
pub mod ledger;
#[allow(dead_code, reason = "a bench that includes it needs more of it")]
pub mod load;
pub mod pair;
pub mod port;
pub mod processes;
pub mod resp;

#[cfg(test)]
mod tests {
    use super::port::free_port;
    use std::net::TcpListener;

    #[test]
    fn a_free_port_is_not_one_of_outgoing_connections() {
        let port = free_port().expect("there is one");
        assert!((10_000..32_768).contains(&port));
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
