//! Proving who we are: keys first, then keyboard-interactive and password, as in OpenSSH.

use std::path::PathBuf;
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{HashAlg, PrivateKey};
use russh::{MethodKind, MethodSet};

use super::super::{ConnectionError, Peer};
use super::handler::{Handler, Shared};
use super::identity::{self, Agent, Candidate, Candidates, Flaw, KeyHolder, Offer};
use super::resolve::Target;

/// What a login was made with; decides who else may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The server asked for nothing.
    None,
    /// A key from, or named by, this file.
    KeyFile(PathBuf),
    /// A key that only the agent knows.
    AgentKey,
    /// A password.
    Password,
}

/// Signs with a key from a file.
struct FileSigner(Arc<PrivateKey>);

/// What can go wrong while signing.
#[derive(Debug)]
struct SignError(String);

impl From<russh::SendError> for SignError {
    fn from(error: russh::SendError) -> Self {
        Self(error.to_string())
    }
}

impl russh::Signer for FileSigner {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let failed = |error: &dyn std::fmt::Display| SignError(error.to_string());
        let signature: Signature = match self.0.key_data() {
            KeypairData::Rsa(pair) => (pair, hash).try_sign(&to_sign).map_err(|error| failed(&error))?,
            other => other.try_sign(&to_sign).map_err(|error| failed(&error))?,
        };
        let mut blob = Vec::new();
        signature.encode(&mut blob).map_err(|error| failed(&error))?;
        blob.encode(&mut to_sign).map_err(|error| failed(&error))?;
        Ok(to_sign)
    }
}

/// The state of one login.
pub struct Login<'a> {
    /// To the server.
    pub handle: &'a mut Handle<Handler>,
    /// Whom and how.
    pub target: &'a Target,
    /// For messages.
    pub at: &'a Peer,
    /// What the handler has seen.
    pub shared: &'a Shared,
    /// The agent, where there is one.
    pub agent: Option<Agent>,
    /// What the server said it accepts.
    pub accepts: Option<MethodSet>,
    /// What has been tried, for the message.
    pub tried: Vec<String>,
    /// The hash for RSA, once asked for.
    pub rsa_hash: Option<Option<HashAlg>>,
}

/// The outcome of one attempt.
enum Attempt {
    In,
    Denied,
    /// The attempt was right and the server wants another method as well.
    Partial,
}

impl Login<'_> {
    /// Tries everything allowed, in order, until the server lets us in.
    ///
    /// `none`, which only asks what the server accepts, costs a round trip and is left out while there are keys.
    pub async fn run(mut self, candidates: Candidates) -> Result<Proof, ConnectionError> {
        let mut none_tried = false;
        if candidates.list.is_empty() || self.target.methods.first().is_none_or(|first| first != "publickey") {
            none_tried = true;
            if let Attempt::In = self.none().await? {
                return Ok(Proof::None);
            }
        }
        // After a partial success the methods are gone through again, each key and the password at most once.
        let mut keys = candidates.list.iter();
        let mut passwords = 2;
        'again: loop {
            for method in &self.target.methods {
                if !self.server_accepts(method) {
                    continue;
                }
                let (attempt, proof) = match method.as_str() {
                    "publickey" => self.keys(&mut keys).await?,
                    "keyboard-interactive" if passwords > 0 => (self.keyboard_interactive().await?, Proof::Password),
                    "password" if passwords > 0 => (self.password().await?, Proof::Password),
                    _ => continue,
                };
                match attempt {
                    Attempt::In => return Ok(proof),
                    Attempt::Partial => {
                        passwords -= i32::from(proof == Proof::Password);
                        continue 'again;
                    }
                    Attempt::Denied => {}
                }
            }
            break;
        }
        if !none_tried && let Attempt::In = self.none().await? {
            return Ok(Proof::None);
        }
        Err(self.denied(&candidates))
    }

    fn server_accepts(&self, method: &str) -> bool {
        let kind = match method {
            "publickey" => MethodKind::PublicKey,
            "keyboard-interactive" => MethodKind::KeyboardInteractive,
            _ => MethodKind::Password,
        };
        self.accepts.as_ref().is_none_or(|accepts| accepts.contains(&kind))
    }

    fn outcome(&mut self, result: AuthResult) -> Result<Attempt, ConnectionError> {
        match result {
            AuthResult::Success => Ok(Attempt::In),
            AuthResult::Failure { remaining_methods, partial_success } => {
                if self.handle.is_closed() && remaining_methods.is_empty() {
                    return Err(self.hung_up());
                }
                self.accepts = Some(remaining_methods);
                Ok(if partial_success { Attempt::Partial } else { Attempt::Denied })
            }
        }
    }

    async fn none(&mut self) -> Result<Attempt, ConnectionError> {
        match self.handle.authenticate_none(&self.target.user).await {
            Ok(result) => self.outcome(result),
            Err(error) => Err(self.broken(&error)),
        }
    }

    async fn keys(&mut self, keys: &mut std::slice::Iter<'_, Candidate>) -> Result<(Attempt, Proof), ConnectionError> {
        for candidate in keys {
            self.tried.push(candidate.label.clone());
            let attempt = self.key(candidate).await?;
            let proof = match &candidate.path {
                Some(path) => Proof::KeyFile(path.clone()),
                None => Proof::AgentKey,
            };
            if !matches!(attempt, Attempt::Denied) {
                return Ok((attempt, proof));
            }
            if !self.server_accepts("publickey") {
                break;
            }
        }
        Ok((Attempt::Denied, Proof::None))
    }

    async fn key(&mut self, candidate: &Candidate) -> Result<Attempt, ConnectionError> {
        let hash = self.hash_for(&candidate.offer).await?;
        let result = match &candidate.signer {
            KeyHolder::File(key) => {
                let mut signer = FileSigner(Arc::clone(key));
                offer(self.handle, &self.target.user, &candidate.offer, hash, &mut signer)
                    .await
                    .map_err(|SignError(error)| error)
            }
            KeyHolder::Agent => match &mut self.agent {
                Some(agent) => offer(self.handle, &self.target.user, &candidate.offer, hash, agent)
                    .await
                    .map_err(|error| error.to_string()),
                None => Err("the agent is gone".to_owned()),
            },
        };
        match result {
            Ok(result) => self.outcome(result),
            Err(_) if self.handle.is_closed() => Err(self.hung_up()),
            Err(error) => {
                // An agent may decline one key and sign with the next.
                if let Some(last) = self.tried.last_mut() {
                    last.push_str(&format!(" - signing failed: {error}"));
                }
                Ok(Attempt::Denied)
            }
        }
    }

    /// The hash to sign with: for RSA the best that the server named, asked for once.
    async fn hash_for(&mut self, offer: &Offer) -> Result<Option<HashAlg>, ConnectionError> {
        let algorithm = match offer {
            Offer::Key(key) => key.algorithm(),
            Offer::Certificate(certificate) => certificate.algorithm(),
        };
        if !algorithm.is_rsa() {
            return Ok(None);
        }
        if let Some(hash) = self.rsa_hash {
            return Ok(hash);
        }
        let named = self.handle.best_supported_rsa_hash().await;
        let hash = named.map_err(|error| self.broken(&error))?.unwrap_or(Some(HashAlg::Sha512));
        self.rsa_hash = Some(hash);
        Ok(hash)
    }

    async fn password(&mut self) -> Result<Attempt, ConnectionError> {
        let Some(password) = self.sendable_password("password") else {
            return Ok(Attempt::Denied);
        };
        match self.handle.authenticate_password(&self.target.user, password).await {
            Ok(result) => self.outcome(result),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Answers a single hidden prompt with the password; more than one question is for a person.
    async fn keyboard_interactive(&mut self) -> Result<Attempt, ConnectionError> {
        let Some(password) = self.sendable_password("keyboard-interactive") else {
            return Ok(Attempt::Denied);
        };
        let user = self.target.user.clone();
        let mut response = self.handle.authenticate_keyboard_interactive_start(user, None::<String>).await;
        let mut answered = 0;
        loop {
            match response {
                Ok(KeyboardInteractiveAuthResponse::Success) => return Ok(Attempt::In),
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success }) => {
                    return self.outcome(AuthResult::Failure { remaining_methods, partial_success });
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => {
                    let hidden = prompts.iter().filter(|prompt| !prompt.echo).count();
                    let answers = match (prompts.len(), hidden) {
                        (0, _) => Vec::new(),
                        (1, 1) if answered == 0 => {
                            answered += 1;
                            vec![password.clone()]
                        }
                        // Empty answers end the attempt politely: the server then says no.
                        (count, _) => vec![String::new(); count],
                    };
                    response = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                }
                Err(_) if self.handle.is_closed() => return Err(self.hung_up()),
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    /// The password, unless there is none or the server cannot be trusted with it.
    fn sendable_password(&mut self, method: &str) -> Option<String> {
        let password = self.target.password.as_ref()?;
        if self.shared.is_doubtful() {
            self.tried.push(format!("{method} left out, because the host key has changed"));
            return None;
        }
        self.tried.push(method.to_owned());
        Some(password.expose().to_owned())
    }

    fn broken(&self, error: &russh::Error) -> ConnectionError {
        if self.handle.is_closed() {
            return self.hung_up();
        }
        ConnectionError::Protocol { at: self.at.clone(), cause: error.to_string() }
    }

    /// The server ended the connection in the middle: mostly because it counts attempts.
    fn hung_up(&self) -> ConnectionError {
        let note = match self.shared.lost() {
            Some(cause) => format!("; the server hung up: {cause}"),
            None => "; the server hung up".to_owned(),
        };
        let hint =
            if self.tried.len() > 1 { "; `IdentitiesOnly yes` with one `IdentityFile` offers fewer keys" } else { "" };
        self.denial(format!("{note}{hint}"))
    }

    fn denial(&self, note: String) -> ConnectionError {
        let methods = self.accepts.iter().flat_map(|set| set.iter().map(String::from)).collect();
        ConnectionError::AuthDenied { at: self.at.clone(), tried: self.tried.clone(), methods, note }
    }

    /// Nothing was accepted. A named key that could not be used is the likeliest reason, so it is named first.
    fn denied(&self, candidates: &Candidates) -> ConnectionError {
        let at = self.at.clone();
        let denied = || {
            let ConnectionError::AuthDenied { tried, methods, .. } = self.denial(String::new()) else {
                return String::new();
            };
            let tried = if tried.is_empty() { "nothing else".to_owned() } else { tried.join(", ") };
            format!("; tried: {tried}; the server accepts: {}", methods.join(", "))
        };
        if let Some((path, flaw)) = candidates.flaws.first() {
            let (path, denied) = (path.clone(), denied());
            return match flaw {
                Flaw::Encrypted => ConnectionError::KeyEncrypted { at, path, denied },
                Flaw::Permissions(mode) => ConnectionError::KeyPermissions { at, path, mode: *mode, denied },
                Flaw::Missing => ConnectionError::KeyUnreadable { at, path, cause: "it does not exist".into(), denied },
                Flaw::Unreadable(cause) => ConnectionError::KeyUnreadable { at, path, cause: cause.clone(), denied },
            };
        }
        if let Some((socket, cause)) = &candidates.agent_trouble
            && self.tried.is_empty()
        {
            let (socket, cause) = (socket.display().to_string(), cause.clone());
            return ConnectionError::AgentUnreachable { at, socket, cause, denied: denied() };
        }
        let note = match (&self.target.password, self.tried.is_empty()) {
            (None, true) => {
                "; there is no key and no password: give `ansible_ssh_private_key_file`, or load a key into an agent"
            }
            _ => "; is the key in the user's authorized_keys, and the user name right?",
        };
        self.denial(note.to_owned())
    }
}

async fn offer<S: russh::Signer>(
    handle: &mut Handle<Handler>,
    user: &str,
    offer: &Offer,
    hash: Option<HashAlg>,
    signer: &mut S,
) -> Result<AuthResult, S::Error> {
    match offer {
        Offer::Key(key) => handle.authenticate_publickey_with(user, key.clone(), hash, signer).await,
        Offer::Certificate(certificate) => {
            let certificate = certificate.as_ref().clone();
            handle.authenticate_certificate_with(user, certificate, hash, signer).await
        }
    }
}

/// Connects to the agent and collects the keys.
pub async fn prepare(target: &Target, cache: &identity::Cache, uid: u32) -> (Option<Agent>, Candidates) {
    let mut trouble = None;
    let mut agent = None;
    let wants_keys = target.methods.iter().any(|method| method == "publickey");
    if let Some(socket) = target.agent.as_ref().filter(|_| wants_keys) {
        match identity::connect_agent(socket).await {
            Ok(client) => agent = Some(client),
            Err(error) => trouble = Some((socket.clone(), error)),
        }
    }
    let mut candidates =
        if wants_keys { identity::gather(target, cache, uid, agent.as_mut()).await } else { Candidates::default() };
    candidates.agent_trouble = candidates.agent_trouble.or(trouble);
    (agent, candidates)
}
