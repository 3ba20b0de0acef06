//! What of the model goes into a digest: everything that shapes the future and is not itself computed from the rest.

use super::{Kernel, State};
use gapless_log::{Digest, Hasher, Result};

impl Kernel {
    /// Hashes the model, in parts that have names.
    pub fn digest(&mut self) -> Result<[(&'static str, Digest); 5]> {
        let (mut objects, mut net, mut ipc, mut fs) = (Hasher::new(), Hasher::new(), Hasher::new(), Hasher::new());
        self.objects.digest(&mut objects);
        self.net.digest(&mut net);
        self.ipc.digest(&mut ipc);
        self.fs.digest(&mut fs)?;
        Ok([
            ("tasks", self.task_digest()),
            ("objects", objects.finish()),
            ("sockets", net.finish()),
            ("System V IPC", ipc.finish()),
            ("files", fs.finish()),
        ])
    }

    /// Processes, threads, descriptors, timers and who runs next.
    fn task_digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        let h = &mut hasher;
        for number in [self.position.0, self.now, self.realtime_offset as u64, self.last_id, self.last_pid as u64] {
            h.number(number);
        }
        h.update(&self.history.to_le_bytes());
        h.number(self.current.map_or(0, |t| t.0 as u64) << 32 | u64::from(self.slice));
        for tid in &self.run_queue {
            h.number(tid.0 as u64);
        }
        for (tid, thread) in &self.threads {
            h.number(tid.0 as u64);
            h.number(thread.mask.0);
            h.number(thread.pending.set().0);
            h.number(match &thread.state {
                State::Ready => 0,
                State::Waiting(wait) => 1 + wait.deadline.unwrap_or(0),
                State::VforkParent => u64::MAX,
                State::Stopped(_) => u64::MAX - 1,
            });
            h.number(thread.call.map_or(u64::MAX, |c| c.nr));
        }
        for (pid, process) in &self.processes {
            h.number(pid.0 as u64);
            h.number(process.parent.0 as u64);
            h.number(process.zombie.map_or(u64::MAX, |s| s as u64));
            h.number(process.pending.set().0);
            h.number(process.cwd.0);
            for (fd, d) in process.fds.iter() {
                h.number(fd as u64);
                h.number(d.file.0 << 1 | u64::from(d.close_on_exec));
            }
        }
        for (id, memory) in &self.memories {
            h.number(id.0);
            h.number(memory.brk);
            memory.written.digest(h);
        }
        for (id, file) in &self.files {
            h.number(id.0);
            h.number(file.offset);
            h.number((file.flags as u64) << 32 | u64::from(file.refs));
        }
        for &(due, _) in &self.timers {
            h.number(due);
        }
        hasher.finish()
    }
}
