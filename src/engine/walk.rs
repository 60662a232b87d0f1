//! The walk over tasks and blocks with a set of hosts.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::Engine;
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
    /// Whether these stand in a block that stands in another, or were imported or included.
    pub deep: bool,
    /// Whether a rescue is under way.
    pub rescue: Rescue,
}

impl Walk {
    /// What is within: a block, what is included, handlers.
    pub fn inside(self) -> Self {
        let rescue = if self.rescue == Rescue::Elsewhere { Rescue::Elsewhere } else { Rescue::Inside };
        Self { rescue, ..self }
    }
}

/// How a task stands to rescues while that of a block that is in no other is under way. As in the reference, a host for which
/// the play ends then counts as rescued in a rescue, and as failed in what such a one has within.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Rescue {
    /// No such rescue is under way.
    #[default]
    Elsewhere,
    /// It stands in a rescue.
    Itself,
    /// It stands in another part of a block or an include within a rescue, or is a handler that this runs.
    Inside,
}

/// For what is around a block, a failure in it is one, whatever the host missed in it; what is around learns of it when the
/// host goes on.
pub(super) fn settle_failures(hosts: &[Arc<HostPlay>], within: bool) {
    hosts.iter().filter(|h| h.standing() == Standing::Failed).for_each(|host| host.settle_failure(within));
}

/// Whether a block stands in another, in what a task imports or in what one includes.
fn is_within(block: &Block, walk: &Walk) -> bool {
    block.nested || walk.deep
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
        let walk = &Walk { deep: is_within(block, walk), ..walk.inside() };
        let outer = Walk { guarded: walk.guarded || self.is_kept(&block.always, hosts, walk), ..*walk };
        let inner = Walk { rescuable: walk.rescuable || rescued, ..outer };
        self.items(&block.body, hosts, &inner).await;
        // The sections that a host has yet to leave before it misses the always.
        let mut left: Vec<(Arc<HostPlay>, usize)> = hosts.iter().map(|h| (h.clone(), usize::from(rescued))).collect();
        let failed = |left: &[(Arc<HostPlay>, usize)]| {
            let fresh = left.iter().filter(|(host, before)| *before > 0 && host.failed_here());
            fresh.map(|(host, _)| host.clone()).collect::<Vec<_>>()
        };
        loop {
            let fresh = failed(&left);
            if fresh.first().is_none_or(|host| host.play.is_over()) {
                break;
            }
            self.rescue(block, &fresh, &outer).await;
            left.iter_mut().filter(|(host, _)| is_among(&fresh, host)).for_each(|(_, before)| *before = 0);
            if !failed(&left).is_empty() {
                // A task of the rescue that is fatal to all failed those too that wait behind the body: these have their
                // rescue once the others are through.
                let (through, waiting) = left.into_iter().partition(|(host, _)| is_among(&fresh, host));
                self.always(block, through, walk).await;
                left = waiting;
            }
        }
        self.always(block, left, walk).await;
    }

    /// Whether tags leave a task in a part of a block.
    fn is_kept(&self, part: &[Item], hosts: &[Arc<HostPlay>], walk: &Walk) -> bool {
        walk.handlers || hosts.first().is_some_and(|host| self.any_chosen(part, host))
    }

    /// The always, on hosts with the number of sections that each has to leave before it.
    async fn always(self: &Arc<Self>, block: &Block, hosts: Vec<(Arc<HostPlay>, usize)>, walk: &Walk) {
        let within = walk.deep;
        let before: Vec<_> = hosts
            .iter()
            .filter(|(host, before)| match host.standing() {
                Standing::Alive => true,
                Standing::Failed => host.misses() <= *before,
                _ => false,
            })
            .map(|(host, _)| (host.clone(), host.standing()))
            .collect();
        let hosts: Vec<_> = hosts.into_iter().map(|(host, _)| host).collect();
        settle_failures(&hosts, within);
        if !self.is_kept(&block.always, &hosts, walk) {
            return;
        }
        let present: Vec<_> = before.iter().map(|(host, _)| host.clone()).collect();
        for (host, standing) in &before {
            host.take_forgiven();
            if *standing == Standing::Failed && !within {
                host.fail_for_all();
            }
            host.stand(Standing::Alive);
        }
        self.items(&block.always, &present, walk).await;
        for (host, standing) in before {
            let forgiven = host.take_forgiven();
            if standing == Standing::Failed && host.is_alive() && !forgiven {
                host.stand(standing);
                if within {
                    host.hide_failure();
                }
            }
        }
        settle_failures(&hosts, within);
    }

    /// The rescue, on hosts that failed in the body.
    async fn rescue(self: &Arc<Self>, block: &Block, hosts: &[Arc<HostPlay>], walk: &Walk) {
        for host in hosts {
            if let Some((task, result)) = host.failure() {
                let kept = [("ansible_failed_task".into(), task), ("ansible_failed_result".into(), result)];
                self.world.set(&host.name, kept);
            }
            host.stand(Standing::Alive);
        }
        let begins = walk.rescue != Rescue::Elsewhere || !walk.deep;
        let rescue = if begins { Rescue::Itself } else { Rescue::Elsewhere };
        self.items(&block.rescue, hosts, &Walk { rescue, ..*walk }).await;
    }

    /// A role's tasks, on hosts on which it has not run yet.
    async fn role_block(self: &Arc<Self>, block: &Arc<Block>, role: &Arc<Role>, hosts: &[Arc<HostPlay>], walk: &Walk) {
        let fresh: Vec<_> =
            hosts.iter().filter(|h| role.allow_duplicates || !h.has_run_role(&role.identity)).cloned().collect();
        if fresh.is_empty() {
            return;
        }
        if role.argument_spec.is_some() {
            self.validate_role(block, role, &alive(&fresh), walk).await;
        }
        self.plain_block(block, &fresh, walk).await;
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
