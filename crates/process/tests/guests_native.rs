//! Every tiny guest, run natively: what it verifies is true of Linux itself.
//!
//! Without this a guest that is wrong, or flaky by itself, would be blamed on gapless.
//! Each runs twice; the lines that claim to be the same in every run must be.

mod guests;

use std::time::Duration;

/// Far above what any guest takes, also on a machine that stalls.
const LIMIT: Duration = Duration::from_secs(60);

fn check(name: &str) {
    let guest = guests::find(name);
    let run = || {
        let dir = tempfile::tempdir().expect("a directory to run in");
        let outcome = guest.run_native(dir.path(), LIMIT);
        assert_eq!(outcome.end, guest.end, "{name} ended otherwise; it wrote:\n{}{}", outcome.stdout, outcome.stderr);
        outcome.stdout
    };
    let (first, second) = (run(), run());
    assert!(first.lines().any(|line| line.starts_with("ok ")), "{name} verified nothing");
    assert_eq!(
        guests::stable_lines(&first),
        guests::stable_lines(&second),
        "{name}: lines that claim to be the same in every run differ"
    );
}

macro_rules! tests {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod native {
            $(
                #[test]
                fn $name() {
                    super::check(stringify!($name));
                }
            )*
        }
    };
}

guests::each_guest!(tests);

#[test]
fn no_guest_is_forgotten() {
    let found: Vec<String> = guests::all().into_iter().map(|g| g.name).collect();
    assert_eq!(found, NAMES);
}

#[test]
fn header_lines_are_read() {
    let abort = guests::find("abort");
    assert_eq!(abort.end, guests::End::Signal(6));
    assert_eq!(abort.end.shell_code(), 134);
    assert_eq!(guests::find("exit_codes").end, guests::End::Exit(42));
    assert_eq!(guests::find("proc_self").args, ["one", "two"]);
    assert_eq!(guests::find("inotify").refused.as_deref(), Some("inotify_init1"));
    assert!(guests::find("cat").stdin.starts_with("first line\nsecond"));
    assert_eq!(guests::find("argv_env").env.len(), 2);
}
