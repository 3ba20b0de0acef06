//! Asking tasks over HTTP, with JSON: `POST /task/{kind}/{name}/{message}`.
//!
//! Each node answers for all shards: a request goes to wherever its shard is live, on the protocol that every client speaks (`lane.rs`), so a reply leaves
//! only when it is committed. What a client may send, and how much of it, is bounded here (`answer.rs`); everything is on one thread.

mod answer;
mod lane;

use super::Service;
use answer::Desk;
use gapless_log::{Error, Result};
use gapless_task::Doors;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

pub use answer::{REQUESTS_MAX, SHARD_REQUESTS_MAX};

/// Connections at the same time. Further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// Bytes of a request's head ...
const HEAD_BYTES_MAX: usize = 16 << 10;
/// ... its headers ...
const HEADERS_MAX: usize = 64;
/// ... and the time for it, and between two requests of a connection.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// A connection takes no further request after this time ...
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// ... and is closed, whatever it waits for, so long after that.
const LAST_REQUEST_MAX: Duration = Duration::from_secs(60);

/// Listens until it is dropped.
pub struct Ingress {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ingress {
    pub fn start(at: &str, service: &Service, doors: Doors) -> Result<Self> {
        let failed = |e: io::Error| Error::io("listening for HTTP at", at, e);
        let listener = std::net::TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(failed)?
        };
        let Service { kinds, nodes, http_keys_kept: kept, .. } = service.clone();
        let own = nodes[service.node].clone();
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            runtime.block_on(async {
                let desk = Desk::open(kinds, doors, &nodes, &own, kept);
                tokio::select! {
                    () = accept(listener, desk) => {},
                    _ = stopped => {},
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("task-http".into()).spawn(work).map_err(failed)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = room.clone().acquire_owned().await.expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    serve(stream, desk).await;
                    drop(place);
                });
            }
            // No descriptors, perhaps.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// One connection. That it broke is the client's to notice.
async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    if let Ok(_ended) = tokio::time::timeout(CONNECTION_MAX, connection.as_mut()).await {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_REQUEST_MAX, connection).await;
}
