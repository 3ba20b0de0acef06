//! Append throughput of the store (encode, seal, write), reading back, and bytes an entry.
//!
//! `cargo bench -p gapless-log`. Elements are entries, bytes are bytes on disk; divide for bytes an entry, which is also printed.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gapless_log::{Frame, FrameBuilder, Kind, Level, Mark, Position, Seq, Store, Term};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Bodies of a clock reading or a call's result, of a small request, and of a page.
const BODY_BYTES: [usize; 3] = [16, 200, 4096];
/// What the host loop collects under load before it seals.
const FRAME_BYTES: usize = 64 << 10;
/// The log is cut to nothing when it is this long, outside the measurement.
const LOG_BYTES_MAX: u64 = 128 << 20;

/// A full frame as the host loop makes them: steps of three inputs and a mark.
fn frame(builder: &mut FrameBuilder, position: &mut u64, body: &[u8]) -> Frame {
    let mark = Mark { released: *position, said: *position, hash: 1 << 100, ..Mark::default() };
    while builder.payload_bytes() < FRAME_BYTES {
        for _ in 0..3 {
            *position += 7;
            builder.push(Position(*position), Kind(20), body);
        }
        builder.push(Position(*position), Kind::MARK, &mark.encode());
    }
    builder.seal(Seq(0)).expect("it is not empty")
}

fn sample(body: usize) -> Frame {
    frame(&mut FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0), &mut 0, &vec![7; body])
}

fn append(c: &mut Criterion) {
    for unit in ["bytes", "entries"] {
        let mut group = c.benchmark_group(format!("append/{unit}"));
        for body in BODY_BYTES {
            let one = sample(body);
            let (bytes, entries) = (one.len() as u64, u64::from(one.entry_count()));
            if unit == "bytes" {
                eprintln!(
                    "body of {body} bytes: {:.1} bytes an entry on disk, marks included",
                    bytes as f64 / entries as f64
                );
            }
            group.throughput(if unit == "bytes" { Throughput::Bytes(bytes) } else { Throughput::Elements(entries) });
            group.bench_function(BenchmarkId::from_parameter(body), |b| b.iter_custom(|n| time_appends(n, body)));
        }
        group.finish();
    }
}

fn time_appends(frames: u64, body: usize) -> Duration {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let mut store = Store::create(dir.path(), Level::Toy).expect("the directory is empty");
    let body = vec![7; body];
    let (mut spent, mut written, mut position) = (Duration::ZERO, 0, 0);
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    for _ in 0..frames {
        let started = Instant::now();
        let frame = frame(&mut builder, &mut position, &body);
        store.append(&frame).expect("the disk has room");
        spent += started.elapsed();
        written += frame.len() as u64;
        if written > LOG_BYTES_MAX {
            store.cut(Seq(0), 0).expect("a log may be cut to nothing");
            builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
            (written, position) = (0, 0);
        }
    }
    spent
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for body in BODY_BYTES {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let mut store = Store::create(dir.path(), Level::Toy).expect("the directory is empty");
        let (mut builder, mut position, mut bytes) = (FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0), 0, 0);
        for _ in 0..64 {
            let frame = frame(&mut builder, &mut position, &vec![7; body]);
            bytes += frame.len() as u64;
            store.append(&frame).expect("the disk has room");
        }
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::from_parameter(body), |b| {
            b.iter(|| store.reader(Seq(0)).map(|f| f.expect("it is whole").entry_count()).sum::<u32>());
        });
    }
    group.finish();
    c.bench_function("one small step: encode, seal, append", |b| b.iter_custom(time_small_steps));
    let one = sample(16);
    c.bench_function("decode a frame of 64 KiB", |b| b.iter(|| Frame::decode(black_box(one.bytes()))));
}

/// What an idle system pays for one input and its mark.
fn time_small_steps(steps: u64) -> Duration {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let mut store = Store::create(dir.path(), Level::Toy).expect("the directory is empty");
    let mut builder = FrameBuilder::new(Level::Toy, Term(1), Seq(0), 0);
    let started = Instant::now();
    for n in 0..steps {
        builder.push(Position(n), Kind(20), &[7; 64]);
        builder.push(Position(n), Kind::MARK, &Mark::default().encode());
        store.append(&builder.seal(Seq(0)).expect("two entries")).expect("the disk has room");
    }
    started.elapsed()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = append, read
}
criterion_main!(benches);
