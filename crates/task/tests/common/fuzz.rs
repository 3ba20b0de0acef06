//! What a fuzzer, or a test with a seed, does with bytes.

use gapless_log::Kind;
use gapless_task::input::{self, Input};
use gapless_task::wire::{self, FromShard, Hello, ToShard, Welcome};
use gapless_task::{Kinds, Said, Shard, State};

/// A shard without any kind of task.
fn shard() -> State {
    let begin = Input::Begin { seed: [7; 32], shard: Shard(0), shards: 3, time: 1 };
    State::begin(Kinds::new(), &begin).expect("it begins")
}

/// Bytes as an entry of each kind, as a saved shard, and as what is said on a connection.
pub fn anything(bytes: &[u8]) {
    for kind in (0..64).map(Kind) {
        let _ = input::describe(kind, bytes);
        let Some(input) = Input::decode(kind, bytes) else { continue };
        assert_eq!(Input::decode(kind, &input.encode()).as_ref(), Some(&input));
        let _ = State::begin(Kinds::new(), &input);
        let mut state = shard();
        if state.apply(input) {
            let saved = state.save();
            assert!(State::load(Kinds::new(), &saved).is_ok(), "what was saved is loaded");
        }
    }
    if let Ok(mut state) = State::load(Kinds::new(), bytes) {
        let _ = (state.digest_parts(), state.step(), state.take_said());
    }
    let _ = Said::decode(bytes);
    let _ = wire::take::<ToShard>(bytes);
    let _ = wire::take::<FromShard>(bytes);
    let _ = wire::take::<Hello>(bytes);
    let _ = wire::take::<Welcome>(bytes);
}
