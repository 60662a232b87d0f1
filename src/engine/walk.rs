//! The walk over tasks and blocks with a set of hosts.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Engine;
use super::frames::{Frame, Section};
use super::host::{HostPlay, Standing, alive};
use crate::playbook::{Block, Item, Role};

/// Where in the tree a walk is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Walk {
    /// Whether a failure here is taken up by a rescue further out.
    pub rescuable: bool,
    /// Whether these are handlers, for which tags do not count.
    pub handlers: bool,
    /// Whether a failure here counts against the play only later where handlers were notified: these are forced to run first.
    pub held: bool,
    /// Whether an `always` is to follow: a failure on the way there never counts for `max_fail_percentage`, as in the reference.
    pub guarded: bool,
    /// How many blocks there are around a task here; between blocks that stand in no other there is none.
    pub depth: usize,
    /// How many there are around the innermost role.
    pub role: usize,
}

impl Walk {
    /// How many blocks there are around one that begins here: for one that is within others, or stands for what is imported or
    /// included, at least what there is between blocks.
    pub fn around(&self, within: bool) -> usize {
        self.depth.max(usize::from(within))
    }
}

pub(super) fn is_among(hosts: &[Arc<HostPlay>], host: &Arc<HostPlay>) -> bool {
    hosts.iter().any(|one| Arc::ptr_eq(one, host))
}

impl Engine {
    /// Runs a list of tasks and blocks on hosts, each item on all that are still alive before the next.
    pub(super) fn items<'e>(
        self: &'e Arc<Self>,
        items: &'e [Item],
        hosts: &'e [Arc<HostPlay>],
        walk: &'e Walk,
    ) -> BoxFuture<'e, ()> {
        Box::pin(async move {
            for item in items {
                let going = alive(hosts);
                if self.is_broken() || going.first().is_none_or(|host| host.play.is_over()) {
                    return;
                }
                match item {
                    Item::Task(task) => self.task(task, &going, walk).await,
                    Item::Block(block) => self.block(block, &going, walk).await,
                }
            }
        })
    }

    async fn block(self: &Arc<Self>, block: &Arc<Block>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        match &block.role {
            Some(role) => self.role_block(block, role, hosts, walk).await,
            None => self.plain_block(block, hosts, walk).await,
        }
    }

    async fn plain_block(self: &Arc<Self>, block: &Arc<Block>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        // A rescue without a task that tags leave in it is none.
        let rescued = self.is_kept(&block.rescue, hosts, walk);
        let kept = self.is_kept(&block.always, hosts, walk);
        let around = walk.around(block.nested);
        let walk = &Walk { depth: around + 1, ..*walk };
        hosts.iter().for_each(|host| host.frames(|frames| frames.enter(around, Frame::new(rescued, kept))));
        let outer = Walk { guarded: walk.guarded || kept, ..*walk };
        let inner = Walk { rescuable: walk.rescuable || rescued, ..outer };
        self.items(&block.body, hosts, &inner).await;
        let mut left = hosts.to_vec();
        let failed = |left: &[Arc<HostPlay>]| -> Vec<_> {
            left.iter().filter(|host| host.comes_to(around, Section::Rescue)).cloned().collect()
        };
        loop {
            let fresh = failed(&left);
            if fresh.first().is_none_or(|host| host.play.is_over()) {
                break;
            }
            fresh.iter().for_each(|host| self.begin_rescue(host, around));
            self.items(&block.rescue, &fresh, &outer).await;
            if !failed(&left).is_empty() {
                // A task of the rescue that is fatal to all failed those too that wait behind the body: these have their
                // rescue once the others are through.
                let (through, waiting) = left.into_iter().partition(|host| is_among(&fresh, host));
                self.always(block, through, walk, kept).await;
                left = waiting;
            }
        }
        self.always(block, left, walk, kept).await;
    }

    /// Whether there is a task in a part of a block, and tags leave it there.
    fn is_kept(&self, part: &[Item], hosts: &[Arc<HostPlay>], walk: &Walk) -> bool {
        !part.is_empty() && walk.handlers || hosts.first().is_some_and(|host| self.any_chosen(part, host))
    }

    /// The always, where tags keep it, and the end of a block.
    async fn always(self: &Arc<Self>, block: &Block, hosts: Vec<Arc<HostPlay>>, walk: &Walk, kept: bool) {
        let around = walk.depth - 1;
        let comes = |host: &&Arc<HostPlay>| host.is_alive() || host.comes_to(around, Section::Always);
        let present: Vec<_> = hosts.iter().filter(comes).cloned().collect();
        if kept {
            present.iter().for_each(|host| host.begin(around, Section::Always));
            self.items(&block.always, &present, walk).await;
        }
        for host in present.iter().filter(|host| host.is_alive()) {
            if host.frames(|frames| frames.ends_always(around)) {
                host.stand(Standing::Failed);
            }
        }
    }

    /// A host that failed in the body comes to the rescue.
    fn begin_rescue(&self, host: &HostPlay, around: usize) {
        if let Some((task, result)) = host.failure() {
            let kept = [("ansible_failed_task".into(), task), ("ansible_failed_result".into(), result)];
            self.world.set(&host.name, kept);
        }
        host.begin(around, Section::Rescue);
    }

    /// A role's tasks, on hosts on which it has not run yet.
    async fn role_block(self: &Arc<Self>, block: &Arc<Block>, role: &Arc<Role>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let fresh: Vec<_> =
            hosts.iter().filter(|h| role.allow_duplicates || !h.has_run_role(&role.identity)).cloned().collect();
        if fresh.is_empty() {
            return;
        }
        let walk = &Walk { role: walk.around(block.nested), ..*walk };
        if role.argument_spec.is_some() {
            self.validate_role(block, role, &alive(&fresh), walk).await;
        }
        if block.nested {
            self.plain_block(block, &alive(&fresh), walk).await;
        } else {
            // Its blocks stand in no other, as the play's own.
            self.items(&block.body, &alive(&fresh), walk).await;
        }
        let noted = self.is_role_noted(role);
        for host in &fresh {
            if host.standing() == Standing::EndedRole {
                host.stand(Standing::Alive);
            }
            if noted && host.is_alive() && host.has_begun_role(&role.identity) {
                host.ran_role(&role.identity);
            }
        }
    }
}
