//! Handlers: tasks that were notified, run in the order in which they are written.

use std::sync::{Arc, PoisonError};

use super::Engine;
use super::frames::{Frame, Section};
use super::host::{HostPlay, PlayRun, Standing, alive};
use super::walk::Walk;

impl Engine {
    /// Runs what was notified on hosts that are alive.
    pub(super) async fn flush_handlers(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let around = walk.around(true);
        let own = Walk { handlers: true, depth: around + 1, ..*walk };
        alive(hosts).iter().for_each(|host| self.settle_notified(run, host));
        // A handler may notify others: those behind it run in this pass, those before it when handlers run next.
        let count = run.handlers.read().unwrap_or_else(PoisonError::into_inner).len();
        for at in 0..count {
            let notified: Vec<_> = alive(hosts).into_iter().filter(|host| host.take_notified(at)).collect();
            if notified.is_empty() || self.is_aborted() {
                continue;
            }
            let handler = run.handlers.read().unwrap_or_else(PoisonError::into_inner).get(at).map(|h| h.task.clone());
            if let Some(handler) = handler {
                notified.iter().for_each(|host| host.frames(|frames| frames.enter(around, Frame::plain())));
                Box::pin(self.task(&handler, &notified, &own)).await;
                let failed = notified.iter().filter(|host| host.standing() == Standing::Failed);
                failed.for_each(|host| host.frames(|frames| frames.fail_around(around)));
            }
        }
    }

    /// `force_handlers`: what was notified before a host failed runs there too.
    pub(super) async fn flush_forced(self: &Arc<Self>, run: &Arc<PlayRun>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let comes = |host: &&Arc<HostPlay>| host.has_notified() && host.comes_to(0, Section::Always);
        let failed: Vec<_> = hosts.iter().filter(comes).cloned().collect();
        failed.iter().for_each(|host| host.begin(0, Section::Always));
        self.flush_handlers(run, hosts, walk).await;
        // A host that failed in a handler that was forced to run is done with them.
        for host in hosts.iter().filter(|host| !host.is_alive()) {
            host.forget_notified();
        }
        for host in failed.iter().filter(|host| host.is_alive()) {
            host.stand(Standing::Failed);
        }
    }
}
