//! Tasks that a program in any language runs, in processes beside this one.
//!
//! A shard has a worker of its own for each such kind, made when the first message comes. The worker is asked with the whole state of the task and answers
//! with the whole new one, as JSON; the shard keeps that text, and nobody keeps anything else. So a worker that is restarted is no other than one that has
//! lived on, a message that is refused has changed nothing, and the digests of the two sides compare exactly what the tasks know.
//!
//! The rule it keeps: both sides agree on what was read. That a worker crashes or hangs is no function of state and message, so it is not for each side to
//! see for itself: after the second failure the live side logs its verdict, and the other one takes that instead of trying. A failure of the other side
//! alone ends that side.

mod frame;
mod process;
mod program;
#[cfg(test)]
mod tests;

pub use program::Program;

use crate::id::Answer;
use crate::task::{AnyTask, Context, Effect, From, Io, Kind, Unread};
use crate::wire::check_length;
use frame::{FromWorker, Outcome, ToWorker, Told};
use process::Worker;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A worker that fails at a message gets it once more.
const ATTEMPTS: usize = 2;
/// So often a worker is started before nothing can be run here, after a pause.
const STARTS: usize = 3;
const START_PAUSE: Duration = Duration::from_millis(200);
/// What is asked of the outside is answered within this time.
const PERFORM_MAX: Duration = Duration::from_secs(60);

/// A kind whose tasks a program runs.
pub(crate) struct Outsourced {
    program: Arc<Program>,
    /// Of one life of one shard.
    seat: Arc<Seat>,
    /// Workers that wait for something to do outside.
    idle: Mutex<Vec<Worker>>,
}

/// The place of a worker, which may be empty.
#[derive(Debug)]
struct Seat {
    program: Arc<Program>,
    worker: Mutex<Option<Worker>>,
}

/// A task as its shard knows it.
struct Far {
    /// After its last message.
    state: Option<Box<RawValue>>,
    seat: Arc<Seat>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outsourced {
    pub(crate) fn new(program: Arc<Program>) -> Self {
        let seat = Arc::new(Seat { program: program.clone(), worker: Mutex::default() });
        Self { program, seat, idle: Mutex::default() }
    }
}

impl Kind for Outsourced {
    fn make(&self, _: &str) -> Box<dyn AnyTask> {
        Box::new(Far { state: None, seat: self.seat.clone() })
    }

    fn load(&self, bytes: &[u8]) -> Option<Box<dyn AnyTask>> {
        let state = match bytes {
            [] => None,
            _ => Some(RawValue::from_string(String::from_utf8(bytes.to_vec()).ok()?).ok()?),
        };
        Some(Box::new(Far { state, seat: self.seat.clone() }))
    }

    fn perform(&self, io: &Io) -> Answer {
        let request = RawValue::from_string(io.request.clone()).map_err(|e| e.to_string())?;
        let (kind, name) = (io.task.kind.as_str(), io.task.name.as_str());
        let frame = ToWorker::Perform { kind, name, key: &io.key, tag: &io.tag, request: &request };
        let frame = frame::encode(&frame).ok_or("the request is too long")?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut worker = match locked(&self.idle).pop().and_then(Worker::if_alive) {
                Some(worker) => worker,
                None => self.program.start()?,
            };
            match worker.ask(&frame, PERFORM_MAX) {
                Ok(FromWorker::Performed(outcome)) => {
                    locked(&self.idle).push(worker);
                    return match outcome {
                        Outcome::Ok(value) => fit(&value).map_err(|why| format!("the answer is {why}")),
                        Outcome::Error(why) => Err(why),
                    };
                }
                Ok(_) => last = "it sent another answer than asked for".to_owned(),
                Err(why) => last = why,
            }
            (self.program.tell)(&format!("the worker that asks {} for {} failed: {last}", io.tag, io.task));
        }
        Err(format!("the worker that asks failed {ATTEMPTS} times: {last}"))
    }

    fn code(&self) -> &str {
        self.program.code()
    }

    fn of_shard(&self) -> Option<Arc<dyn Kind>> {
        Some(Arc::new(Self::new(self.program.clone())))
    }
}

impl Program {
    fn start(&self) -> Result<Worker, String> {
        let mut last = String::new();
        for start in 0..STARTS {
            if start > 0 {
                std::thread::sleep(START_PAUSE);
            }
            match Worker::start(self) {
                Ok((worker, _)) => return Ok(worker),
                Err(why) => last = why,
            }
        }
        Err(last)
    }
}

impl Seat {
    /// What the worker answers; it is asked again if it fails.
    fn ask(&self, who: &dyn std::fmt::Display, frame: &[u8]) -> Result<FromWorker, Unread> {
        let mut seat = locked(&self.worker);
        let mut last = String::new();
        for attempt in 1..=ATTEMPTS {
            let worker = match seat.take().and_then(Worker::if_alive) {
                Some(worker) => worker,
                None => self.program.start().map_err(Unread::Stuck)?,
            };
            let worker = seat.insert(worker);
            match worker.ask(frame, self.program.timeout) {
                Ok(answer) => return Ok(answer),
                Err(why) => last = why,
            }
            *seat = None;
            (self.program.tell)(&format!(
                "the worker of {who} failed at a message, attempt {attempt} of {ATTEMPTS}: {last}"
            ));
        }
        Err(Unread::Failed(format!("its worker failed {ATTEMPTS} times: {last}")))
    }
}

impl AnyTask for Far {
    fn receive(&mut self, ctx: &mut Context<'_>, from: &From, body: &str) -> Result<(), Unread> {
        let no_json = |e: serde_json::Error| Unread::Refused(format!("the message is not JSON: {e}"));
        let message = match from {
            From::Io(_) => {
                let answer: Answer = serde_json::from_str(body).map_err(no_json)?;
                let outcome = match answer {
                    Ok(json) => Outcome::Ok(RawValue::from_string(json).map_err(no_json)?),
                    Err(why) => Outcome::Error(why),
                };
                serde_json::value::to_raw_value(&outcome).expect("JSON of JSON")
            }
            _ => RawValue::from_string(body.to_owned()).map_err(no_json)?,
        };
        let frame = ToWorker::Receive {
            kind: &ctx.id.kind,
            name: &ctx.id.name,
            state: self.state.as_deref(),
            from,
            message: &message,
            now: ctx.time,
            seed: format!("{:016x}", ctx.random()),
        };
        let too_long = || Unread::Refused("the task and the message are too long for a worker".to_owned());
        let frame = frame::encode(&frame).ok_or_else(too_long)?;
        match self.seat.ask(ctx.id, &frame)? {
            FromWorker::Done { state, effects } => {
                effects.into_iter().try_for_each(|told| carry_over(ctx, told)).map_err(Unread::Refused)?;
                self.state = Some(state);
                Ok(())
            }
            FromWorker::Refused(why) => Err(Unread::Refused(why)),
            _ => Err(Unread::Failed("its worker sent another answer than asked for".to_owned())),
        }
    }

    fn save(&self) -> Vec<u8> {
        self.state.as_ref().map_or_else(Vec::new, |state| state.get().as_bytes().to_vec())
    }
}

/// What the worker asks for becomes an effect if it is one that can be carried out.
fn carry_over(ctx: &mut Context<'_>, told: Told) -> Result<(), String> {
    match told {
        Told::Send { to, message } => {
            if !to.is_sound() {
                return Err("it sends to a task without a kind and a name of 1 to 256 bytes".to_owned());
            }
            ctx.send_json(to, fit(&message).map_err(|why| format!("it sends {why}"))?);
        }
        Told::Reply(value) => {
            let json = fit(&value).map_err(|why| format!("its reply is {why}"))?;
            if let Some(to) = ctx.owed.take() {
                ctx.reply_later(to, Ok(json));
            }
        }
        Told::Owe => drop(ctx.owe()),
        Told::ReplyLater { to, answer } => {
            let answer = match answer {
                Outcome::Ok(value) => Ok(fit(&value).map_err(|why| format!("its reply is {why}"))?),
                Outcome::Error(why) => Err(why),
            };
            ctx.reply_later(to, answer);
        }
        Told::Timer { after_us, message } => {
            let body = fit(&message).map_err(|why| format!("its timer has {why}"))?;
            ctx.effects.push(Effect::Timer { after: Duration::from_micros(after_us), body });
        }
        Told::Io { tag, request } => {
            let request = fit(&request).map_err(|why| format!("its question is {why}"))?;
            ctx.effects.push(Effect::Io { tag, request });
        }
    }
    Ok(())
}

/// JSON that can be a message.
fn fit(value: &RawValue) -> Result<String, String> {
    match check_length(value.get()) {
        Ok(()) => Ok(value.get().to_owned()),
        Err(why) => Err(format!("a message of {why}")),
    }
}
