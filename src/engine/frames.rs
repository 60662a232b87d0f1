//! Where a host is in the blocks around a task, and which of these know that it failed.
//!
//! As in the reference a failure is known to the innermost block at once, and to the one around that when the host goes on: where
//! a play ends in between, the play itself may never learn of it. Seen in experiments with `end_host`, `end_batch` and `end_play`
//! behind failures; `tests/language/cases/end_*` hold them.

/// The part of a block that a host is in, or comes to next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Body,
    Rescue,
    Always,
    /// It is through.
    Over,
}

/// A block, or what stands for one: the tasks of a play between its blocks, what is included, handlers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    section: Section,
    has_rescue: bool,
    has_always: bool,
    /// Whether a failure in it stands.
    failed: bool,
}

impl Frame {
    /// A block with a rescue and an always, or without.
    pub fn new(has_rescue: bool, has_always: bool) -> Self {
        Self { section: Section::Body, has_rescue, has_always, failed: false }
    }

    /// Tasks that nothing takes up the failures of.
    pub fn plain() -> Self {
        Self::new(false, false)
    }

    /// A failure: the host leaves the section that it is in or waits for, the body for the rescue, that for the always.
    fn fail(&mut self) {
        self.failed = true;
        self.section = match self.section {
            Section::Body if self.has_rescue => Section::Rescue,
            Section::Body | Section::Rescue if self.has_always => Section::Always,
            _ => Section::Over,
        };
    }
}

/// The blocks that a host is in, outermost first. The first one is a block that stands in no other, or what stands for it between
/// such blocks; there is always one.
#[derive(Debug)]
pub(super) struct Frames {
    frames: Vec<Frame>,
    /// Whether a handler failed; unlike a block's failure, the play knows that at once.
    handler_failed: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { frames: vec![Frame::plain()], handler_failed: false }
    }
}

impl Frames {
    /// Comes to a block at a depth, behind all that was there.
    pub fn enter(&mut self, depth: usize, frame: Frame) {
        self.frames.truncate(depth);
        self.frames.push(frame);
    }

    /// Is through with the block at a depth.
    pub fn leave(&mut self, depth: usize) {
        self.frames.truncate(depth);
        if self.frames.is_empty() {
            *self = Self::default();
        }
    }

    /// Fails in the innermost block.
    pub fn fail(&mut self) {
        if let Some(innermost) = self.frames.last_mut() {
            innermost.fail();
        }
    }

    /// Notes that what failed is a handler.
    pub fn fail_in_handler(&mut self) {
        self.handler_failed = true;
    }

    /// Whether what failed in the block at a depth goes on with this section of it; the block learns of the failure then, and not
    /// where nothing comes.
    pub fn comes_to(&mut self, depth: usize, section: Section) -> bool {
        let within = self.frames.len() > depth + 1;
        let Some(frame) = self.frames.get_mut(depth) else { return false };
        let mut learnt = *frame;
        if within {
            learnt.fail();
        }
        if learnt.section == section {
            *frame = learnt;
            self.frames.truncate(depth + 1);
        }
        learnt.section == section
    }

    /// Comes to a section of the block at a depth.
    pub fn begin(&mut self, depth: usize, section: Section) {
        self.frames.truncate(depth + 1);
        if let Some(frame) = self.frames.get_mut(depth) {
            frame.section = section;
        }
        self.handler_failed &= section != Section::Rescue;
    }

    /// Whether a failure in the block at a depth stands.
    pub fn has_failed(&self, depth: usize) -> bool {
        self.frames.get(depth).is_some_and(|frame| frame.failed)
    }

    /// What failed in the block at a depth is rescued.
    pub fn rescued(&mut self, depth: usize) {
        if let Some(frame) = self.frames.get_mut(depth) {
            frame.failed = false;
        }
    }

    /// What failed counts no more.
    pub fn forgive(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.failed = false);
        self.handler_failed = false;
    }

    /// The play ends for the host. One that is in a rescue counts as rescued.
    pub fn end(&mut self) {
        let rescued = self.frames.last().is_some_and(|frame| frame.section == Section::Rescue);
        self.frames.truncate(1);
        for frame in &mut self.frames {
            frame.section = Section::Over;
            frame.failed &= !rescued;
        }
        self.handler_failed &= !rescued;
    }

    /// Whether the play itself knows of a failure.
    pub fn is_known(&self) -> bool {
        self.handler_failed || self.has_failed(0)
    }

    /// Whether any block knows of one.
    pub fn is_failed(&self) -> bool {
        self.handler_failed || self.frames.iter().any(|frame| frame.failed)
    }
}
