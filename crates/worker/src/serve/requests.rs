//! Requests of this worker's own: modules run, content is staged, calls are cancelled.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rplay_protocol::{CHUNK, Call, Detach, Object, Reply, Request, Run};
use sha2::Digest;

use super::{Out, jobs};
use crate::host::{Cache, Cancel, Content, Host, OutputSink};
use crate::module::{Entry, Failure};
use crate::modules;

/// Everything under way in this worker.
pub(super) struct Requests {
    out: Out,
    cache: Cache,
    stages: HashMap<u64, Content>,
    running: Arc<Mutex<HashMap<u64, Cancel>>>,
    threads: Vec<JoinHandle<()>>,
}

/// One request's calls, with all they need on their thread.
struct Job {
    id: u64,
    entry: &'static Entry,
    run: Run,
    contents: Vec<Option<Content>>,
    cancel: Cancel,
    cache: Cache,
    out: Out,
}

impl Requests {
    pub(super) fn new(out: Out) -> Self {
        Self { out, cache: Cache::default(), stages: HashMap::new(), running: Arc::default(), threads: Vec::new() }
    }

    /// Carries out one request of the controller's.
    pub(super) fn take(&mut self, id: u64, request: Request, payload: Vec<u8>) {
        match request {
            Request::Run(run) => self.start(id, run, payload),
            Request::Detach(job) => self.detach(id, job),
            Request::Stage { stage } => {
                if let Err(e) = self.stage(stage, &payload) {
                    self.out.error(id, 0, "stage", &format!("cannot keep the content of a file on the host: {e}"));
                }
            }
            Request::Cancel => {
                if let Some(cancel) = self.running().get(&id) {
                    cancel.cancel();
                }
            }
            Request::StartBecome { .. } | Request::EndBecome { .. } | Request::Exit => {
                self.out.error(id, 0, "protocol", "this request is for the login user's worker");
            }
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Cancel>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stage(&mut self, stage: u64, piece: &[u8]) -> std::io::Result<()> {
        let content = match self.stages.remove(&stage) {
            Some(Content::Nameless(file)) => file,
            _ => Arc::new(tempfile::tempfile()?),
        };
        (&*content).write_all(piece)?;
        self.stages.insert(stage, Content::Nameless(content));
        Ok(())
    }

    fn start(&mut self, id: u64, run: Run, payload: Vec<u8>) {
        let Some(entry) = modules::find(&run.module) else {
            let message = format!("this worker has no module `{}`", run.module);
            return self.out.error(id, 0, "module", &message);
        };
        let contents = match self.contents(&run.calls, payload) {
            Ok(contents) => contents,
            Err(message) => return self.out.error(id, 0, "protocol", &message),
        };
        let cancel = Cancel::default();
        self.running().insert(id, cancel.clone());
        let job = Job { id, entry, run, contents, cancel, cache: self.cache.clone(), out: self.out.clone() };
        let running = self.running.clone();
        self.threads.retain(|thread| !thread.is_finished());
        let spawned = std::thread::Builder::new().name(job.run.module.clone()).spawn(move || {
            job.carry_out();
            running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        match spawned {
            Ok(thread) => self.threads.push(thread),
            Err(e) => self.out.error(id, 0, "lost", &format!("the host cannot start a thread: {e}")),
        }
    }

    /// Starts a job and says where its result is going to be.
    fn detach(&mut self, id: u64, job: Detach) {
        let out = self.out.clone();
        let spawned = std::thread::Builder::new().name("job".to_owned()).spawn(move || {
            let result = jobs::start(&job).unwrap_or_else(Failure::into_result);
            out.send(id, 0, &Reply::Item { index: 0, result }, Vec::new());
            out.send(id, 0, &Reply::Done, Vec::new());
        });
        match spawned {
            Ok(thread) => self.threads.push(thread),
            Err(e) => self.out.error(id, 0, "lost", &format!("the host cannot start a thread: {e}")),
        }
    }

    /// Each call's content: its part of the payload, or what was staged for it.
    fn contents(&mut self, calls: &[Call], payload: Vec<u8>) -> Result<Vec<Option<Content>>, String> {
        if let [Call { payload: Some(len), .. }] = calls
            && usize::try_from(*len) == Ok(payload.len())
        {
            return Ok(vec![Some(Content::from(payload))]);
        }
        let mut rest = &payload[..];
        let mut out = Vec::with_capacity(calls.len());
        for call in calls {
            out.push(match (call.payload, call.stage) {
                (Some(len), _) => {
                    let part = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
                    let (mine, others) = part.ok_or("a call's content is shorter than announced")?;
                    rest = others;
                    Some(Content::from(mine.to_vec()))
                }
                (None, Some(stage)) => {
                    Some(self.stages.remove(&stage).ok_or("a call names content that was not sent")?)
                }
                (None, None) => None,
            });
        }
        Ok(out)
    }

    /// Waits for everything under way, or, when `orderly` is false, only for the changes at hand.
    pub(super) fn finish(self, orderly: bool) {
        if !orderly {
            self.running().values().for_each(Cancel::abandon);
        }
        for thread in self.threads {
            // A call that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Job {
    fn carry_out(mut self) {
        let calls = std::mem::take(&mut self.run.calls);
        let contents = std::mem::take(&mut self.contents);
        for (index, (call, content)) in calls.into_iter().zip(contents).enumerate() {
            if self.cancel.is_cancelled() {
                return self.out.error(self.id, 0, "cancelled", "the task was cancelled");
            }
            let (result, content) = self.call(index, &call.args, content);
            match content {
                None => self.out.send(self.id, 0, &Reply::Item { index, result }, Vec::new()),
                Some(content) => self.send_back(index, result, &content),
            }
        }
        self.out.send(self.id, 0, &Reply::Done, Vec::new());
    }

    fn call(&self, index: usize, args: &Object, content: Option<Content>) -> (Object, Option<Content>) {
        let host = Host::new()
            .checking(self.run.check)
            .diffing(self.run.diff)
            .with_environment(self.run.environment.clone())
            .with_content(content)
            .with_cancel(self.cancel.clone())
            .with_cache(self.cache.clone())
            .with_sink(self.run.stream.then(|| self.sink(index)));
        match (self.entry.run)(args, &host) {
            Ok(outcome) => outcome.into_result(self.run.diff),
            Err(failure) => (failure.into_result(), None),
        }
    }

    fn sink(&self, index: usize) -> OutputSink {
        let (out, id) = (self.out.clone(), self.id);
        Arc::new(move |stream, bytes| out.send(id, 0, &Reply::Output { index, stream }, bytes.to_vec()))
    }

    /// Sends a result and its content, which is read piece by piece while it is sent.
    ///
    /// What is sent and the checksum told of it are of one reading: a file may be written to at this moment.
    fn send_back(&self, index: usize, mut result: Object, content: &Content) {
        match self.send_content(index, content) {
            Ok((size, checksum, last)) => {
                result.insert("size".to_owned(), size.into());
                result.insert("checksum".to_owned(), checksum.into());
                self.out.send(self.id, 0, &Reply::Item { index, result }, last);
            }
            Err(error) => {
                let result = Failure::new(format!("cannot read the content: {error}")).into_result();
                self.out.send(self.id, 0, &Reply::Item { index, result }, Vec::new());
            }
        }
    }

    /// Sends all of a content but its last piece, which goes with the result; gives length, SHA-1 and that piece.
    fn send_content(&self, index: usize, content: &Content) -> std::io::Result<(u64, String, Vec<u8>)> {
        let mut reader = content.open()?;
        let mut hash = sha1::Sha1::new();
        let (mut size, mut last) = (0, Vec::new());
        loop {
            let mut piece = Vec::with_capacity(CHUNK);
            reader.by_ref().take(CHUNK as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                return Ok((size, hash.finalize().iter().map(|b| format!("{b:02x}")).collect(), last));
            }
            if self.cancel.is_cancelled() {
                return Err(std::io::Error::other("the task was cancelled"));
            }
            if !last.is_empty() {
                self.out.send(self.id, 0, &Reply::Content { index }, last);
            }
            hash.update(&piece);
            size += piece.len() as u64;
            last = piece;
        }
    }
}
