//! A primary killed after it has put its backup as owner (rule H), and started again on its directory.
//!
//! The rule: the put named another life, so whatever became of it, this directory is not that life's. The model's search
//! found it (`model/mutants.rs`, `handover_intent_taken_for_ones_own`); this is the same on the engine.

use gapless_log::{Identity, Seq};
use gapless_pair::{
    Ack, Action, Commit, Config, ConnId, Engine, Event, Found, Handover, Hello, Life, Message, Meta, Micros, Mode,
    Nonce, Packet, Point, Put, Register, Seat, Start,
};

fn seat(node: u64, id: u128) -> Seat {
    Seat { life: Life { node, id }, address: format!("127.0.0.1:{node}") }
}

fn identity() -> Identity {
    Identity { level: "toy".into(), code: "1".into(), features: vec![] }
}

/// One engine whose world answers at once: its directory, its arbiter, and a backup that agrees to everything.
struct World {
    engine: Engine,
    meta: Meta,
    register: Option<Register>,
    puts: Vec<Put>,
    backup: Seat,
    now: Micros,
}

const CONN: ConnId = ConnId(1);

impl World {
    fn new(me: Seat, start: Start, meta: Meta, register: Option<Register>, backup: &Seat) -> World {
        let engine = Engine::new(Config::new(me, start, identity()), meta.clone(), Found::default());
        let mut world = World { engine, meta, register, puts: vec![], backup: backup.clone(), now: Micros(0) };
        world.happens(Event::Start);
        world
    }

    fn happens(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.now = self.now.plus(Micros::from_millis(1));
            self.engine.handle(event, self.now, &mut actions);
            let answers: Vec<Event> = actions.into_iter().filter_map(|action| self.answer(action)).collect();
            events.extend(answers.into_iter().rev());
        }
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::StoreMeta(meta) => {
                self.meta = meta;
                Some(Event::MetaStored)
            }
            Action::Read(ticket) => Some(Event::ReadDone(ticket, self.register.clone())),
            Action::Put(ticket, put) => {
                self.puts.push(put.clone());
                if put.expect.matches(self.register.as_ref()) {
                    self.register = Some(put.new.clone());
                }
                let handed_over = put.new.owned_by(self.backup.life);
                (!handed_over).then(|| Event::PutDone(ticket, self.register.clone()))
            }
            Action::Prepare => Some(Event::Prepared),
            Action::Stop => Some(Event::Stopped),
            Action::Kill => Some(Event::Killed),
            Action::FindCommon(conn, _) => Some(Event::CommonFound(conn, Point::ZERO)),
            Action::Send(conn, packet) => {
                let answer = match packet.message {
                    Message::Handover(Handover::Offer { .. }) => Message::Handover(Handover::Ready),
                    Message::Welcome(_) => Message::Ack(Ack { received: END.seq, durable: END.seq, executed: END.seq }),
                    _ => return None,
                };
                Some(Event::Received(conn, Packet { nonce: packet.nonce, message: answer }))
            }
            _ => None,
        }
    }
}

/// Where the log ends: after one step.
const END: Point = Point { seq: Seq(2), chain: 5 };

#[test]
fn a_handed_over_directory_joins() {
    let (primary, backup) = (seat(1, 10), seat(2, 20));
    let mut world = World::new(primary, Start::Fresh, Meta::default(), None, &backup);
    let uuid = world.register.as_ref().expect("a fresh start puts").uuid;
    let term = world.register.as_ref().expect("a fresh start puts").term;
    // A joiner that has executed nothing could not take over, and is not named.
    world.happens(Event::Sealed(END));
    world.happens(Event::Written(END.seq));
    world.happens(Event::Connected(CONN));
    let hello = Hello {
        seat: backup.clone(),
        register: Some((uuid, term)),
        owner: false,
        identity: identity(),
        commit: Commit::Received,
        takes_state: false,
        warm: false,
        executed: Seq(0),
        points: vec![],
    };
    let message = Message::Hello(Box::new(hello));
    world.happens(Event::Received(CONN, Packet { nonce: Nonce::NONE, message }));
    assert_eq!(world.engine.mode(), Mode::Protected);
    world.happens(Event::HandoverAsked);
    let handed_over = world.register.clone().filter(|r| r.owned_by(backup.life)).expect("the handover was put");

    // Killed before the answer, and started again on the same directory.
    let mut world = World::new(seat(1, 11), Start::Auto, world.meta, Some(handed_over), &backup);
    for _ in 0..1_000 {
        world.happens(Event::Tick);
    }
    assert_eq!(world.puts, [], "the old primary's directory takes the term from the life that it was handed to");
    assert_eq!(world.engine.mode(), Mode::Joining);
}
