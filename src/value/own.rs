//! The user's own texts on their way through the template engine, which knows nothing of trust and places.
//!
//! A text that comes out of the engine as it went in is still the user's: it is the same allocation. What a filter made of it
//! is another one, and data.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Str;

/// Texts of the user's that went into the engine, by where their letters are.
#[derive(Debug, Default)]
pub struct OwnTexts(Mutex<HashMap<usize, Str>>);

thread_local! {
    /// The texts of the evaluation under way on this thread.
    static UNDER_WAY: RefCell<Option<Arc<OwnTexts>>> = const { RefCell::new(None) };
}

fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).cast::<u8>() as usize
}

impl OwnTexts {
    /// Keeps texts here for as long as the guard lives, unless an evaluation around this one keeps them already.
    pub fn watch(self: &Arc<Self>) -> Watching {
        UNDER_WAY.with_borrow_mut(|under_way| {
            let outermost = under_way.is_none();
            if outermost {
                *under_way = Some(self.clone());
            }
            Watching { outermost }
        })
    }
}

/// An evaluation under way.
#[must_use]
pub struct Watching {
    outermost: bool,
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.outermost {
            UNDER_WAY.with_borrow_mut(|under_way| *under_way = None);
        }
    }
}

/// Notes a text that goes into the engine. It is kept, so that nothing else can come to lie where it is.
pub(super) fn goes_in(text: &Str) {
    if !text.is_trusted() || text.is_template() {
        return;
    }
    UNDER_WAY.with_borrow(|under_way| {
        if let Some(texts) = under_way {
            let mut texts = texts.0.lock().unwrap_or_else(PoisonError::into_inner);
            texts.entry(address(&text.shared())).or_insert_with(|| text.clone());
        }
    });
}

/// A text that came out of the engine: the user's own, when it is one that went in.
pub(super) fn came_out(text: Arc<str>) -> Str {
    let own = UNDER_WAY.with_borrow(|under_way| {
        let texts = under_way.as_ref()?.0.lock().unwrap_or_else(PoisonError::into_inner);
        texts.get(&address(&text)).filter(|own| own.as_str().len() == text.len()).cloned()
    });
    own.unwrap_or_else(|| Str::data(text))
}
