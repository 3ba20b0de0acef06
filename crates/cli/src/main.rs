//! Keeps a program running when the machine under it dies.

mod doctor;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["doctor"] => doctor::run(false, None),
        ["doctor", "--json"] => doctor::run(true, None),
        ["doctor", "--log", dir] => doctor::run(false, Some(dir.into())),
        ["doctor", "--json", "--log", dir] => doctor::run(true, Some(dir.into())),
        _ => {
            eprintln!("usage: gapless doctor [--json] [--log DIR]");
            ExitCode::from(2)
        }
    }
}
