//! Orders: goods are reserved, money is asked for outside, and what was done is undone if that fails. Each order ends once, whatever dies.
//!
//! ```text
//! orders payments ADDRESS                     the outside: takes money over HTTP
//! orders NODES NODE ARBITER DIR HTTP          a node; PAYMENTS=ADDRESS says where the outside is
//! curl -d 100 http://127.0.0.1:7600/task/stock/tea/fill
//! curl -d '{"item":"tea","count":2,"price":30}' -H 'Idempotency-Key: 17' http://127.0.0.1:7600/task/order/17/place
//! ```

use gapless::task::{Answer, Context, From, Io, Kinds, ReplyTo, Service, Task, TaskId, serve};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// After so many payments without an answer the order is given up.
const ATTEMPTS_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The outside has no more than this for one order.
const PRICE_MAX: u64 = 1000;

/// What a customer wants.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wish {
    item: String,
    count: u64,
    price: u64,
}

/// Where an order stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    New,
    Reserving,
    Paying,
    /// Nobody knows whether it was paid: that must be undone first.
    Voiding,
    Paid,
    Cancelled(String),
}

/// An order.
#[derive(Serialize, Deserialize)]
pub struct Order {
    stage: Stage,
    wish: Option<Wish>,
    customer: Option<ReplyTo>,
    attempts: u32,
}

/// What an order reads.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// From a customer, whose reply is how the order ended.
    Place(Wish),
    /// Replies with where the order stands.
    Look,
    /// From the stock.
    Reserved(bool),
    /// From a timer.
    Again,
    /// From outside.
    #[serde(untagged)]
    Answer(Answer),
}

impl Task for Order {
    const KIND: &'static str = "order";
    type Message = Message;

    fn new(_: &str) -> Self {
        Self { stage: Stage::New, wish: None, customer: None, attempts: 0 }
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, message: Message) -> Result<(), String> {
        match (from, message, &self.stage) {
            (_, Message::Look, stage) => ctx.reply(stage),
            (From::Client(_), Message::Place(wish), Stage::New) => {
                let order = ctx.id().clone();
                ctx.send::<Stock>(&wish.item, &StockMessage::Reserve(order, wish.count));
                (self.stage, self.wish, self.customer) = (Stage::Reserving, Some(wish), ctx.owe());
            }
            (From::Task(_), Message::Reserved(true), Stage::Reserving) => {
                self.stage = Stage::Paying;
                self.ask(ctx);
            }
            (From::Task(_), Message::Reserved(false), Stage::Reserving) => self.end(ctx, cancelled("out of stock")),
            (From::Io(_), Message::Answer(Ok(word)), Stage::Paying) if word == "paid" => self.end(ctx, Stage::Paid),
            (From::Io(_), Message::Answer(Ok(word)), Stage::Paying | Stage::Voiding) => {
                let Wish { item, count, .. } = self.wish.clone().expect("it was placed");
                ctx.send::<Stock>(&item, &StockMessage::Release(count));
                self.end(ctx, cancelled(&word));
            }
            (From::Io(_), Message::Answer(Err(_)), Stage::Paying | Stage::Voiding) => {
                self.attempts += 1;
                if self.attempts == ATTEMPTS_MAX {
                    self.stage = Stage::Voiding;
                }
                ctx.timer(PAUSE, &Message::Again);
            }
            (From::Timer, Message::Again, Stage::Paying | Stage::Voiding) => self.ask(ctx),
            (_, _, stage) => return Err(format!("not while the order is {}", word(stage))),
        }
        Ok(())
    }

    /// The order's name is the key: whoever takes the money takes it once, however often he is asked.
    fn perform(io: &Io) -> Answer {
        let payments = std::env::var("PAYMENTS").map_err(|e| format!("PAYMENTS: {e}"))?;
        post(&payments, &io.tag, &io.task.name, &io.request).map_err(|e| e.to_string())
    }
}

impl Order {
    fn ask(&self, ctx: &mut Context<'_>) {
        let tag = if self.stage == Stage::Paying { "pay" } else { "void" };
        ctx.io(tag, &self.wish.as_ref().map_or(0, |wish| wish.price));
    }

    fn end(&mut self, ctx: &mut Context<'_>, stage: Stage) {
        self.stage = stage;
        if let Some(customer) = self.customer.take() {
            ctx.reply_later(customer, Ok(word(&self.stage)));
        }
    }
}

fn cancelled(why: &str) -> Stage {
    Stage::Cancelled(why.to_owned())
}

fn word(stage: &Stage) -> String {
    serde_json::to_string(stage).expect("a stage becomes JSON")
}

/// How much of one item there is.
#[derive(Serialize, Deserialize)]
pub struct Stock(u64);

/// What the stock reads.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockMessage {
    /// From whoever brings goods.
    Fill(u64),
    /// Replies with how much there is.
    Look,
    /// From an order, which is told whether there is so much.
    Reserve(TaskId, u64),
    /// From an order that was cancelled.
    Release(u64),
}

impl Task for Stock {
    const KIND: &'static str = "stock";
    type Message = StockMessage;

    fn new(_: &str) -> Self {
        Self(0)
    }

    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, message: StockMessage) -> Result<(), String> {
        match (from, message) {
            (From::Client(_), StockMessage::Fill(count)) => self.0 = self.0.saturating_add(count),
            (From::Task(_), StockMessage::Reserve(order, count)) => {
                let enough = self.0 >= count;
                self.0 -= if enough { count } else { 0 };
                ctx.send::<Order>(&order.name, &Message::Reserved(enough));
            }
            (From::Task(_), StockMessage::Release(count)) => self.0 = self.0.saturating_add(count),
            (_, StockMessage::Look) => {}
            _ => return Err("only orders reserve and release".to_owned()),
        }
        ctx.reply(&self.0);
        Ok(())
    }
}

// ---- the outside ----

fn post(to: &str, path: &str, key: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = body.len();
    write!(stream, "POST /{path} HTTP/1.1\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    match reply.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("an odd reply: {reply:?}"))),
    }
}

/// What was asked under one key.
#[derive(Default, Debug)]
pub struct Payment {
    /// How often.
    pub calls: u32,
    /// The money that was taken.
    pub paid: Option<u64>,
    /// Nothing is taken any more.
    pub voided: bool,
}

/// By key.
pub type Ledger = Arc<Mutex<BTreeMap<String, Payment>>>;

/// Takes money: once for each key, and never after it was voided. The first `price % 8` calls with a key are carried out and not answered.
pub fn payments(listener: &TcpListener, ledger: &Ledger) {
    for stream in listener.incoming().flatten() {
        let ledger = ledger.clone();
        std::thread::spawn(move || take(stream, &ledger));
    }
}

fn take(mut stream: TcpStream, ledger: &Ledger) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let (mut come, mut head, mut price) = (0, String::new(), None);
    while price.is_none() {
        let n = stream.read(&mut bytes[come..])?;
        come += n;
        let text = String::from_utf8_lossy(&bytes[..come]).into_owned();
        if n == 0 {
            return Ok(());
        }
        let Some((before, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = before.rsplit("Content-Length: ").next().and_then(|n| n.trim().parse::<usize>().ok());
        if length == Some(body.len()) {
            (head, price) = (before.to_owned(), body.parse::<u64>().ok());
        }
    }
    let key = head.split("Idempotency-Key: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let price = price.unwrap_or_default();
    let mut ledger = ledger.lock().expect("nobody panics with it");
    let payment = ledger.entry(key.to_owned()).or_default();
    payment.calls += 1;
    let word = if head.starts_with("POST /void ") {
        (payment.paid, payment.voided) = (None, true);
        "not paid in time"
    } else if price > PRICE_MAX || payment.voided {
        "payment declined"
    } else {
        payment.paid = Some(price);
        "paid"
    };
    if u64::from(payment.calls) > price % 8 {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{word}", word.len())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [word, address] if word == "payments" => payments(&TcpListener::bind(address)?, &Ledger::default()),
        [nodes, node, arbiter, dir, http] => {
            let kinds = Kinds::new().with::<Order>().with::<Stock>();
            let mut service = Service::new(kinds, nodes.split(','), node.parse()?, arbiter, dir);
            service.http = Some(http.clone());
            serve(service)?.wait();
        }
        _ => return Err("usage: orders NODES NODE ARBITER DIR HTTP, or orders payments ADDRESS".into()),
    }
    Ok(())
}
