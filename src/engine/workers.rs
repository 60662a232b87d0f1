//! The run's workers: one on each host for each login, made when it is first wanted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::target::Target;
use crate::connection::{Connection, local::Local, ssh::Pool};
use crate::remote::{RemoteError, Worker};

type Slot = Arc<OnceCell<(Connection, Arc<Worker>)>>;

/// All workers of a run.
pub(crate) struct Workers {
    pool: Pool,
    /// What is started as the worker on this machine; this program itself when nothing else is said.
    program: Option<PathBuf>,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Workers {
    pub(super) fn new(pool: Pool, program: Option<PathBuf>) -> Self {
        Self { pool, program, slots: Mutex::default() }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to a target, shared with everybody who wants the same.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Connection, RemoteError> {
        match target {
            Target::Local => Ok(Connection::Local(Local)),
            Target::Ssh(options) => Ok(self.pool.connect(options).await?),
        }
    }

    /// The worker of a target; one that was lost is replaced.
    pub(crate) async fn worker(&self, target: &Target) -> Result<Arc<Worker>, RemoteError> {
        let key = target.key();
        for _ in 0..2 {
            let slot = self.slots().entry(key.clone()).or_default().clone();
            let started = slot
                .get_or_try_init(|| async {
                    let connection = self.connect(target).await?;
                    let worker = Worker::start(&connection, self.program.as_deref()).await?;
                    Ok::<_, RemoteError>((connection, worker))
                })
                .await;
            let (_, worker) = match started {
                Ok(started) => started,
                Err(error) => {
                    self.forget(&key, &slot);
                    return Err(error);
                }
            };
            if !worker.is_closed() {
                return Ok(worker.clone());
            }
            self.forget(&key, &slot);
        }
        Err(RemoteError::Lost(": it was lost again at once".into()))
    }

    fn forget(&self, key: &str, slot: &Slot) {
        let mut slots = self.slots();
        if slots.get(key).is_some_and(|kept| Arc::ptr_eq(kept, slot)) {
            slots.remove(key);
        }
    }

    /// Ends a target's worker and login; the next task makes new ones.
    pub(crate) async fn reset(&self, target: &Target) {
        let slot = self.slots().remove(&target.key());
        if let Some((connection, _)) = slot.as_ref().and_then(|s| s.get()) {
            connection.close().await;
        }
    }

    /// Lets all workers end.
    pub(super) async fn finish(&self) {
        let slots: Vec<Slot> = self.slots().drain().map(|(_, slot)| slot).collect();
        drop(slots);
    }
}
