//! From an HTTP request to a message and back: what is refused, with which status, and in which words.

use super::lane::{Ask, Lane, Told};
use gapless_task::wire::{MESSAGE_BYTES_MAX, check_length};
use gapless_task::{Doors, KEY_BYTES_MAX, Key, Kinds, Shard, TaskId, pair};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Requests under way on one node.
pub const REQUESTS_MAX: usize = 512;
/// Of these, to one shard.
pub const SHARD_REQUESTS_MAX: usize = 256;
/// Time for a request's body.
const BODY_MAX: Duration = Duration::from_secs(10);
/// Time for a reply.
const REPLY_MAX: Duration = Duration::from_secs(30);
/// A client that is not let in is asked to wait so many seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

const STOPPING: &str = "this node is stopping; ask the other one";

type Reply = Response<Full<Bytes>>;

/// Why there is no reply of a task.
struct Problem {
    status: StatusCode,
    why: String,
    retry_after: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), retry_after: None }
    }

    fn busy(why: impl Into<String>) -> Self {
        Self { retry_after: Some(RETRY_AFTER_SECONDS), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, why) }
    }
}

/// The way to one shard.
struct Route {
    asks: mpsc::Sender<Ask>,
    room: Semaphore,
}

/// Takes all requests of a node.
pub struct Desk {
    kinds: Kinds,
    doors: Doors,
    kept: Duration,
    room: Semaphore,
    routes: Vec<Route>,
}

impl Desk {
    /// `kept`: keys are known so long after the reply.
    pub fn open(kinds: Kinds, doors: Doors, nodes: &[String], own: &str, kept: Duration) -> Arc<Self> {
        let shards = doors.shards();
        // Who has the shard; this node first, which answers at once.
        let has = |shard| {
            let mut nodes = pair(nodes, shard).to_vec();
            nodes.sort_by_key(|node| node != own);
            nodes
        };
        let route = |shard| {
            let (asks, come) = mpsc::channel(SHARD_REQUESTS_MAX);
            tokio::spawn(Lane::new(has(shard), shard, shards, come).run());
            Route { asks, room: Semaphore::new(SHARD_REQUESTS_MAX) }
        };
        let routes = (0..shards).map(Shard).map(route).collect();
        Arc::new(Self { kinds, doors, kept, room: Semaphore::new(REQUESTS_MAX), routes })
    }

    pub async fn answer(&self, request: Request<Incoming>) -> Reply {
        match self.route(request).await {
            Ok(json) => reply(StatusCode::OK, json),
            Err(problem) => {
                let mut reply = reply(problem.status, json!({ "error": problem.why }).to_string());
                if let Some(seconds) = problem.retry_after {
                    reply.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                if problem.status == StatusCode::METHOD_NOT_ALLOWED {
                    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
                }
                reply
            }
        }
    }

    async fn route(&self, request: Request<Incoming>) -> Result<String, Problem> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method(), &parts[..]) {
            (&Method::GET, ["health"]) => Ok(self.health()),
            (&Method::POST, ["task", kind, name, message]) => {
                let to = TaskId::new(word("kind", kind)?, word("name", name)?);
                let message = word("message", message)?;
                self.ask(to, message, request).await
            }
            (_, ["health"]) => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "/health is read with GET")),
            (_, ["task", _, _, _]) => Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "messages are sent with POST")),
            _ => {
                let why = "nothing is here: POST /task/{kind}/{name}/{message}, or GET /health";
                Err(Problem::new(StatusCode::NOT_FOUND, why))
            }
        }
    }

    fn health(&self) -> String {
        let live: Vec<u16> = self.doors.live().into_iter().map(|shard| shard.0).collect();
        json!({ "shards": self.doors.shards(), "live_here": live }).to_string()
    }

    async fn ask(&self, to: TaskId, message: String, request: Request<Incoming>) -> Result<String, Problem> {
        if !self.kinds.names().any(|kind| kind == to.kind) {
            let kinds: Vec<&str> = self.kinds.names().collect();
            let why = format!("no kind {} here; there are: {}", to.kind, kinds.join(", "));
            return Err(Problem::new(StatusCode::NOT_FOUND, why));
        }
        let key = idempotency_key(request.headers())?.map(|key| Key { to: to.clone(), message: message.clone(), key });
        let route = &self.routes[usize::from(to.shard(self.doors.shards()).0)];
        let full = |max, of| Problem::busy(format!("{max} requests are under way {of}; send this one again later"));
        let _place = self.room.try_acquire().map_err(|_| full(REQUESTS_MAX, "on this node"))?;
        let _place = route.room.try_acquire().map_err(|_| full(SHARD_REQUESTS_MAX, "in this shard"))?;
        let body = wrap(&message, &read(request.into_body()).await?)?;
        if let Some(Err(why)) = self.kinds.check(&to.kind, &body) {
            return Err(Problem::new(StatusCode::BAD_REQUEST, why));
        }
        let keyed = key.is_some();
        let (reply, told) = oneshot::channel();
        let ask = Ask { to, body, key: key.map(|key| (key, self.kept)), reply, since: Instant::now() };
        route.asks.try_send(ask).map_err(|e| match e {
            TrySendError::Full(_) => full(SHARD_REQUESTS_MAX, "in this shard"),
            TrySendError::Closed(_) => Problem::busy(STOPPING),
        })?;
        match tokio::time::timeout(REPLY_MAX, told).await {
            Ok(Ok(told)) => say(told, keyed),
            Ok(Err(_)) => Err(Problem::busy(STOPPING)),
            Err(_) if keyed => {
                Err(Problem::busy("the reply is still owed; send the request again, with the same Idempotency-Key"))
            }
            Err(_) => Err(Problem::new(
                StatusCode::GATEWAY_TIMEOUT,
                "no reply so far, and the message may have been read or may still be; with an Idempotency-Key a \
                 request can be sent again",
            )),
        }
    }
}

fn say(told: Told, keyed: bool) -> Result<String, Problem> {
    match told {
        Told::Answer(Ok(json)) => Ok(json),
        Told::Answer(Err(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
        Told::OtherBody => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key came before, with another body: a new request needs a new key",
        )),
        Told::Full(seconds) => Err(Problem {
            retry_after: Some(seconds),
            ..Problem::busy("this shard knows as many Idempotency-Keys as it can; wait until old ones are forgotten")
        }),
        Told::Refused(why) => Err(Problem::busy(format!("the message was not read: {why}"))),
        Told::Nowhere if keyed => Err(Problem::busy(
            "the shard is live on no node that can be reached; send the request again, with the same Idempotency-Key",
        )),
        Told::Nowhere => Err(Problem::busy(
            "the message was not read: the shard is live on no node that can be reached; send the request again",
        )),
        Told::Lost(why) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "the message may have been read or not ({why}); with an Idempotency-Key a request can be sent again"
            ),
        )),
    }
}

fn reply(status: StatusCode, json: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(json)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// A part of the path.
fn word(what: &str, part: &str) -> Result<String, Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let word = percent_decode_str(part).decode_utf8();
    let word = word.map_err(|_| bad(format!("the {what} in the path is not UTF-8")))?.into_owned();
    match word.len() {
        1..=KEY_BYTES_MAX => Ok(word),
        n => Err(bad(format!("the {what} in the path has {n} bytes; it has 1 to {KEY_BYTES_MAX}"))),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(bad("there are two Idempotency-Keys: a request has one".to_owned()));
    }
    let key = key.to_str().map_err(|_| bad("the Idempotency-Key is not visible ASCII".to_owned()))?;
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(Some(key.to_owned())),
        n => Err(bad(format!("the Idempotency-Key has {n} bytes; it has 1 to {KEY_BYTES_MAX}"))),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    let too_long = || {
        let why = format!("the body is too long: a message has at most {MESSAGE_BYTES_MAX} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, why)
    };
    if body.size_hint().lower() > MESSAGE_BYTES_MAX as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_MAX, Limited::new(body, MESSAGE_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(e)) => Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body did not come: {e}"))),
        Err(_) => {
            let why = format!("the body did not come within {} s", BODY_MAX.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, why))
        }
    }
}

/// The message that a task reads: `{"message": body}`, or `"message"` without a body.
fn wrap(message: &str, body: &[u8]) -> Result<String, Problem> {
    let bad = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let name = serde_json::to_string(message).expect("a string becomes JSON");
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(name);
    }
    let body = std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8".to_owned()))?;
    // As a value, not only skipped over: what is nested too deep for a task to read is refused here.
    serde_json::from_str::<Value>(body).map_err(|e| bad(format!("the body is not JSON: {e}")))?;
    let wrapped = format!("{{{name}:{body}}}");
    match check_length(&wrapped) {
        Ok(()) => Ok(wrapped),
        Err(why) => Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("with its name the message has {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_a_message_or_is_refused() {
        let check = |body: &[u8], expected: Result<&str, &str>| match (wrap("add", body), expected) {
            (Ok(message), Ok(expected)) => assert_eq!(message, expected),
            (Err(problem), Err(words)) => assert!(problem.why.contains(words), "{}", problem.why),
            (Ok(message), Err(_)) => panic!("{message}"),
            (Err(problem), Ok(_)) => panic!("{}", problem.why),
        };
        check(b"", Ok("\"add\""));
        check(b" \r\n", Ok("\"add\""));
        check(b"7", Ok("{\"add\":7}"));
        check(b" {\"a\": [1]}\n", Ok("{\"add\": {\"a\": [1]}\n}"));
        check(b"7}, {\"other\": 1", Err("not JSON"));
        check(b"7 8", Err("not JSON"));
        check(b"{", Err("not JSON"));
        check(b"\"\xff\"", Err("not UTF-8"));
        check("[".repeat(100_000).as_bytes(), Err("recursion limit"));
        check(format!("{}{}", "[".repeat(1000), "]".repeat(1000)).as_bytes(), Err("recursion limit"));
        check(format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX)).as_bytes(), Err("are allowed"));
        assert_eq!(wrap("a\"b", b"1").map_err(|p| p.why), Ok("{\"a\\\"b\":1}".to_owned()));
    }

    #[test]
    fn parts_of_a_path_are_decoded_and_measured() {
        let check = |part: &str, expected: Result<&str, StatusCode>| {
            assert_eq!(word("name", part).map_err(|p| p.status), expected.map(str::to_owned), "{part}");
        };
        check("one", Ok("one"));
        check("a%2Fb%20c", Ok("a/b c"));
        check("%zz", Ok("%zz"));
        check("", Err(StatusCode::BAD_REQUEST));
        check("%ff", Err(StatusCode::BAD_REQUEST));
        check(&"x".repeat(KEY_BYTES_MAX + 1), Err(StatusCode::BAD_REQUEST));
    }
}
