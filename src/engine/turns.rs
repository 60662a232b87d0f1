//! What hosts say about a task, in the order of the hosts: the same run says the same twice, whoever was faster.
//!
//! The first host that is not done speaks at once; what the others say waits until it is their turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Event;
use super::host::HostPlay;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    places: HashMap<Arc<str>, usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: usize,
    waiting: Vec<Vec<Event>>,
    done: Vec<bool>,
}

impl Turns {
    /// Turns for these hosts.
    pub(super) fn new(hosts: &[Arc<HostPlay>]) -> Self {
        let places = hosts.iter().enumerate().map(|(at, host)| (host.name.clone(), at)).collect();
        let state =
            State { next: 0, waiting: hosts.iter().map(|_| Vec::new()).collect(), done: vec![false; hosts.len()] };
        Self { places, state: Mutex::new(state) }
    }

    /// Says something now, or when it is the host's turn.
    pub(super) fn say(&self, host: &str, event: Event, say: impl Fn(Event)) {
        let Some(at) = self.places.get(host) else { return say(event) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *at == state.next {
            // Under the lock, so that nothing gets in between.
            say(event);
        } else if let Some(waiting) = state.waiting.get_mut(*at) {
            waiting.push(event);
        }
    }

    /// The host has nothing more to say.
    pub(super) fn done(&self, host: &str, say: impl Fn(Event)) {
        let Some(at) = self.places.get(host) else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = state.done.get_mut(*at) {
            *done = true;
        }
        while state.done.get(state.next) == Some(&true) {
            state.next += 1;
            let next = state.next;
            let waiting = state.waiting.get_mut(next).map(std::mem::take).unwrap_or_default();
            waiting.into_iter().for_each(&say);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_hosts() {
        let places = [("a", 0), ("b", 1), ("c", 2)].map(|(name, at)| (Arc::from(name), at));
        let state = State { next: 0, waiting: vec![Vec::new(); 3], done: vec![false; 3] };
        let turns = Turns { places: places.into(), state: Mutex::new(state) };
        let said = Mutex::new(String::new());
        let say = |event: Event| {
            let Event::Remark { text, .. } = event else { return };
            said.lock().unwrap().push_str(&text);
        };
        let remark = |text: &str| Event::Remark { verbosity: 0, text: text.to_owned() };
        turns.say("c", remark("5"), say);
        turns.done("c", say);
        turns.say("a", remark("1"), say);
        turns.say("b", remark("3"), say);
        turns.say("a", remark("2"), say);
        turns.done("a", say);
        turns.say("b", remark("4"), say);
        turns.done("b", say);
        turns.say("elsewhere", remark("6"), say);
        assert_eq!(*said.lock().unwrap(), "123456");
    }
}
