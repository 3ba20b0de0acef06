//! Rows of programs that run to their end: their time as a user sees it, from start to end.

use super::bed::{Bed, Way};
use super::rows::Series;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Steps that take some seconds, so that the start of the program, which is another matter, does not decide.
const SQLITE_STEPS: u32 = 15_000_000;
const PYTHON_STEPS: u32 = 50_000_000;
/// The tree of sources: directories, files in each, bytes of a file.
const TREE: [usize; 3] = [100, 100, 2048];
/// The C program: files, functions in each.
const PROJECT: [usize; 2] = [24, 60];

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).to_vec()
}

/// Native, pinned and not, and recorded take turns, each in a directory that was filled before.
fn times(
    bed: &mut Bed,
    program: &[OsString],
    fill: impl Fn(&Path) -> Result<(), String> + Copy,
) -> Result<Series, String> {
    bed.in_turns(&[Way::Native, Way::Unpinned, Way::Recorded], |bed, way| {
        Ok(vec![(way.name().to_owned(), bed.time(way, program, fill)?.0)])
    })
}

pub fn sqlite(bed: &mut Bed) -> Result<Series, String> {
    let sql = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {SQLITE_STEPS}) SELECT sum(n * n % 7) FROM c"
    );
    times(bed, &words(["sqlite3", ":memory:", &sql]), |_| Ok(()))
}

pub fn python(bed: &mut Bed) -> Result<Series, String> {
    // The interpreter itself, not a script that chooses one.
    let python = bed.client(&["python3", "-c", "import sys; print(sys.executable)"])?;
    let code = format!("print(sum(i * i % 7 for i in range({PYTHON_STEPS})))");
    times(bed, &words([python.trim(), "-c", &code]), |_| Ok(()))
}

/// Sources as a project may have them: many small files, no two alike.
fn tree(root: &Path) -> std::io::Result<()> {
    let [dirs, files, bytes] = TREE;
    for dir in 0..dirs {
        let dir = root.join(format!("module-{dir}"));
        fs::create_dir(&dir)?;
        for file in 0..files {
            let name = dir.join(format!("source-{file}.c"));
            let line = format!("/* {} */\n", name.display());
            fs::write(name, line.repeat(bytes / line.len()))?;
        }
    }
    Ok(())
}

pub fn tar(bed: &mut Bed) -> Result<Series, String> {
    let sources = bed.fresh_dir()?;
    tree(sources.path()).map_err(crate::text)?;
    let place = sources.path().to_string_lossy().into_owned();
    times(bed, &words(["tar", "-cf", "archive.tar", "-C", &place, "."]), |_| Ok(()))
}

pub fn git(bed: &mut Bed) -> Result<Series, String> {
    let sources = bed.fresh_dir()?;
    tree(sources.path()).map_err(crate::text)?;
    let place = sources.path().to_string_lossy().into_owned();
    let me = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"];
    let made: [&[&str]; 4] = [&["init", "-q"], &["add", "."], &["commit", "-qm", "sources"], &["status"]];
    for step in made {
        // The last one leaves an index that no status needs to write again.
        let command: Vec<&str> = ["git", "-C", &place].into_iter().chain(me).chain(step.iter().copied()).collect();
        bed.client(&command)?;
    }
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do git -C \"$0\" status || exit; done";
    times(bed, &words(["sh", "-c", script, &place]), |_| Ok(()))
}

/// A program of many files and its Makefile.
fn project(root: &Path) -> std::io::Result<()> {
    let [files, functions] = PROJECT;
    for file in 0..files {
        let mut text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n".to_owned();
        for n in 0..functions {
            text += &format!(
                "int f_{file}_{n}(const char *s, int x) {{ char t[64]; int i; snprintf(t, sizeof t, \"%d %s\", x, s); \
                 for (i = 0; t[i]; i++) x = x * 31 + t[i] + {n}; return x ^ (int)strlen(t); }}\n"
            );
        }
        fs::write(root.join(format!("part{file}.c")), text)?;
    }
    fs::write(root.join("main.c"), "int f_0_0(const char *, int);\nint main(void) { return f_0_0(\"x\", 1) == 0; }\n")?;
    let objects: Vec<String> = (0..files).map(|file| format!("part{file}.o")).collect();
    let objects = objects.join(" ");
    fs::write(root.join("Makefile"), format!("CFLAGS = -O1\nprogram: main.o {objects}\n\t$(CC) -o $@ $^\n"))
}

pub fn make(bed: &mut Bed) -> Result<Series, String> {
    times(bed, &words(["make", "-s", "-j4", "CC=cc"]), |cwd| project(cwd).map_err(crate::text))
}
