//! Whole programs under a toy kernel.

mod tracee_support;

use std::path::Path;

use gapless_process::tracee::Stop;
use tracee_support::{Toy, compile};

fn run(program: &Path, argv: &[&str]) -> (Stop, String) {
    let mut toy = Toy::new(program, argv);
    let stop = toy.run(|_, _| false);
    (stop, String::from_utf8(toy.output.clone()).unwrap())
}

#[test]
fn a_dynamic_program_of_the_system_runs() {
    assert_eq!(run(Path::new("/bin/true"), &["/bin/true"]), (Stop::Exited(0), String::new()));
    let argv = ["/bin/echo", "one", "two words"];
    assert_eq!(run(Path::new("/bin/echo"), &argv), (Stop::Exited(0), "one two words\n".to_owned()));
}

const HELLO: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int zero[30000];
int main(int argc, char **argv) {
    for (int i = 0; i < 30000; i++) if (zero[i]) return 9;
    printf("%s %s %s\n", argv[0], argv[argc - 1], getenv("LANG"));
    return 3;
}"#;

#[test]
fn static_static_pie_and_dynamic_programs_run() {
    for (name, flags) in [
        ("static", &["-static", "-no-pie"][..]),
        ("static-pie", &["-static-pie"]),
        ("dynamic", &[]),
        ("no-pie", &["-no-pie"]),
    ] {
        let program = compile(name, HELLO, flags);
        assert_eq!(run(&program, &["hello", "x"]), (Stop::Exited(3), "hello x C\n".to_owned()), "{name}");
    }
}
