//! The logins of one run, each made once and shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::super::error::bracketed;
use super::super::{Connection, ConnectionError, Peer};
use super::auth::Proof;
use super::blocking::blocking;
use super::config;
use super::environment::Environment;
use super::resolve::{self, Identity, Route, SshOptions, Target};
use super::session::{self, Session};
use super::{identity, known_hosts};

/// Key exchanges at a time: they are all computation, on both sides.
const HANDSHAKES: usize = 64;
/// TCP connections being made at a time; hosts that do not answer hold their place until they time out.
const CONNECTS: usize = 256;
/// Jump hosts in a row; more is a circle.
const MAX_JUMPS: usize = 16;

type Answer = Result<Arc<Session>, ConnectionError>;
type Pending = Shared<BoxFuture<'static, Answer>>;

/// The logins of one run. Clones share them.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    resources: Arc<Resources>,
    logins: Mutex<HashMap<String, Vec<Entry>>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// What logins share beside each other.
pub struct Resources {
    /// The surroundings.
    pub environment: Environment,
    /// Parsed ssh_config files.
    pub configs: config::Cache,
    /// Parsed known_hosts files.
    pub known_hosts: Arc<known_hosts::Cache>,
    /// Deciphered keys.
    pub identities: identity::Cache,
    /// Limits handshakes.
    pub handshakes: Semaphore,
    /// Limits TCP connections being made.
    pub connects: Semaphore,
}

/// A login that was made or is being made, and who may use it.
struct Entry {
    id: u64,
    claim: Claim,
    pending: Pending,
}

/// What somebody who wants to log in has to show.
#[derive(Clone, PartialEq, Eq)]
struct Claim {
    keys: Vec<std::path::PathBuf>,
    agent: Option<std::path::PathBuf>,
    password: Option<super::super::Secret>,
}

impl Claim {
    fn of(target: &Target) -> Self {
        let mut keys: Vec<_> = target.identities.iter().map(|Identity { path, .. }| path.clone()).collect();
        keys.sort();
        let agent = target.agent.clone().filter(|_| !target.identities_only);
        Self { keys, agent, password: target.password.clone() }
    }

    /// Whether a login made with `proof` by `other` could have been made with this claim as well.
    fn covers(&self, proof: &Proof, other: &Self) -> bool {
        match proof {
            Proof::None => true,
            Proof::KeyFile(path) => self.keys.contains(path),
            Proof::AgentKey => self.agent.is_some() && self.agent == other.agent,
            Proof::Password => self.password == other.password,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Environment::current())
    }
}

impl Pool {
    /// A pool without logins.
    pub fn new(environment: Environment) -> Self {
        let resources = Resources {
            environment,
            configs: config::Cache::default(),
            known_hosts: Arc::default(),
            identities: identity::Cache::default(),
            handshakes: Semaphore::new(HANDSHAKES),
            connects: Semaphore::new(CONNECTS),
        };
        Self(Arc::new(Inner { resources: Arc::new(resources), logins: Mutex::default() }))
    }

    /// A connection to the host that `options` describe: the login that is there already, or a new one.
    ///
    /// Callers that want the same login at the same time share one, and its failure. A login that fails or ends is
    /// forgotten, so the next call tries again.
    pub async fn connect(&self, options: &SshOptions) -> Result<Connection, ConnectionError> {
        self.session(options.clone(), 0).await.map(Connection::Ssh)
    }

    /// What `options` and ssh_config come to, without connecting.
    pub async fn resolve(&self, options: &SshOptions) -> Result<Target, ConnectionError> {
        let (resources, options) = (Arc::clone(&self.0.resources), options.clone());
        let resolved = blocking(move || resolve::resolve(&options, &resources.environment, &resources.configs));
        resolved.await.unwrap_or_else(|error| {
            Err(ConnectionError::Config { place: "the ssh configuration".into(), message: error.to_string() })
        })
    }

    fn session(&self, options: SshOptions, depth: usize) -> BoxFuture<'static, Answer> {
        let pool = self.clone();
        async move {
            if depth > MAX_JUMPS {
                return Err(circle(&options.host));
            }
            let target = pool.resolve(&options).await?;
            let way = pool.way(&target).await?;
            pool.share(target, way, depth).await
        }
        .boxed()
    }

    /// How to get to the target, and the name of the way.
    async fn way(&self, target: &Target) -> Result<Way, ConnectionError> {
        Ok(match &target.route {
            Route::Direct => Way::default(),
            Route::Command(command) => Way { jump: None, names: vec![format!("`{command}`")] },
            Route::Jump(options) => {
                // The names of the whole chain, nearest to the target first.
                let mut names = Vec::new();
                let mut next = options.clone();
                loop {
                    let hop = self.resolve(&next).await?;
                    if names.is_empty() && is_same(&hop, &target.host, target.port) {
                        // `ProxyJump` for all hosts is meant for all but the jump host itself.
                        return Ok(Way::default());
                    }
                    names.push(format!("{}@{}:{}", hop.user, bracketed(&hop.host), hop.port));
                    match &hop.route {
                        Route::Jump(further) if !loops(self, &hop, further).await? => {
                            // A login that waits for itself would wait for ever.
                            if names.len() >= MAX_JUMPS {
                                return Err(circle(&target.host));
                            }
                            next = further.clone();
                        }
                        Route::Command(command) => {
                            names.push(format!("`{command}`"));
                            break;
                        }
                        _ => break,
                    }
                }
                Way { jump: Some(options.clone()), names }
            }
        })
    }

    /// The login that there is, or a new one.
    async fn share(&self, target: Target, way: Way, depth: usize) -> Answer {
        let via = if way.names.is_empty() { None } else { Some(way.names.join(" via ")) };
        let at = Peer::new(&target.user, &target.host, target.port, via);
        let key = format!("{at} {}", target.host_key_alias.as_deref().unwrap_or_default());
        let claim = Claim::of(&target);
        let mut refused = Vec::new();
        loop {
            let (entry, pending, theirs) = self.find_or_start(&key, &claim, &refused, &target, &way, &at, depth);
            let answer = pending.await;
            let usable = match &answer {
                Ok(session) => !session.is_closed(),
                Err(_) => false,
            };
            if !usable {
                self.forget(&key, entry);
            }
            match answer {
                Ok(session) if usable && (theirs == claim || claim.covers(session.proof(), &theirs)) => {
                    return Ok(session);
                }
                // It was made with a credential that this caller does not have.
                Ok(_) if usable => refused.push(entry),
                Ok(_) => {}
                Err(error) if theirs == claim => return Err(error),
                // Another's credentials were refused; ours may not be.
                Err(_) => {}
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn find_or_start(
        &self,
        key: &str,
        claim: &Claim,
        refused: &[u64],
        target: &Target,
        way: &Way,
        at: &Peer,
        depth: usize,
    ) -> (u64, Pending, Claim) {
        let mut logins = self.0.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = logins.entry(key.to_owned()).or_default();
        let same = entries.iter().find(|entry| entry.claim == *claim);
        let other = entries.iter().find(|entry| !refused.contains(&entry.id));
        if let Some(entry) = same.or(other) {
            return (entry.id, entry.pending.clone(), entry.claim.clone());
        }
        let id = rand::random();
        let (pool, target, way, at) = (self.clone(), target.clone(), way.clone(), at.clone());
        // In a task of its own, so that a caller that gives up does not take the others' login with it.
        let task = tokio::spawn(async move { pool.log_in(target, way, at, depth).await });
        let host = key.to_owned();
        let pending = async move {
            task.await.unwrap_or_else(|error| {
                Err(ConnectionError::Config { place: host, message: format!("the login was given up: {error}") })
            })
        };
        let pending = pending.boxed().shared();
        entries.push(Entry { id, claim: claim.clone(), pending: pending.clone() });
        (id, pending, claim.clone())
    }

    async fn log_in(&self, target: Target, way: Way, at: Peer, depth: usize) -> Answer {
        let jump = match way.jump {
            Some(options) => {
                let jump = self.session(*options, depth + 1).await;
                Some(jump.map_err(|error| ConnectionError::Bastion { at: at.clone(), source: Box::new(error) })?)
            }
            None => None,
        };
        session::login(&target, &at, jump, &self.0.resources).await.map(Arc::new)
    }

    fn forget(&self, key: &str, id: u64) {
        let mut logins = self.0.logins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entries) = logins.get_mut(key) {
            entries.retain(|entry| entry.id != id);
        }
    }
}

#[derive(Clone, Default)]
struct Way {
    jump: Option<Box<SshOptions>>,
    names: Vec<String>,
}

fn circle(host: &str) -> ConnectionError {
    ConnectionError::Config {
        place: "the ssh configuration".into(),
        message: format!("the jump hosts go in a circle on the way to `{host}`"),
    }
}

/// Whether a jump host is the place that it is to lead to, by whatever login.
fn is_same(hop: &Target, host: &str, port: u16) -> bool {
    hop.host == host && hop.port == port
}

/// Whether the next jump host is the one that it is to lead to.
async fn loops(pool: &Pool, hop: &Target, further: &SshOptions) -> Result<bool, ConnectionError> {
    Ok(is_same(&pool.resolve(further).await?, &hop.host, hop.port))
}
