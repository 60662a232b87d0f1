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
}

impl Default for Frames {
    fn default() -> Self {
        Self { frames: vec![Frame::plain()] }
    }
}

impl Frames {
    /// Comes to a block with so many around it.
    pub fn enter(&mut self, around: usize, frame: Frame) {
        self.frames.truncate(around);
        self.frames.resize(around, Frame::plain());
        self.frames.push(frame);
    }

    /// Goes on with what has so many blocks around it; a host that waits stays where it is.
    pub fn go_on(&mut self, around: usize) {
        self.frames.truncate(around);
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

    /// What failed within so many blocks, a handler, fails the innermost of these at once.
    pub fn fail_around(&mut self, around: usize) {
        self.go_on(around);
        self.fail();
    }

    /// Whether what failed in a block with so many around it goes on with this section of it; the block learns of the failure
    /// then, and not where nothing comes.
    pub fn comes_to(&mut self, around: usize, section: Section) -> bool {
        let within = self.frames.len() > around + 1;
        let Some(frame) = self.frames.get_mut(around) else { return false };
        let mut learnt = *frame;
        if within {
            learnt.fail();
        }
        if learnt.section == section {
            *frame = learnt;
            self.frames.truncate(around + 1);
        }
        learnt.section == section
    }

    /// Comes to a section of a block; behind the rescue nothing has failed.
    pub fn begin(&mut self, around: usize, section: Section) {
        self.frames.truncate(around + 1);
        if let Some(frame) = self.frames.get_mut(around) {
            frame.failed &= frame.section != Section::Rescue || section == Section::Rescue;
            frame.section = section;
        }
    }

    /// Is through with the always of a block; whether what failed before it still stands.
    pub fn ends_always(&mut self, around: usize) -> bool {
        let found = self.frames.get_mut(around).filter(|frame| frame.section == Section::Always && frame.failed);
        let Some(frame) = found else { return false };
        frame.section = Section::Over;
        self.frames.truncate(around + 1);
        true
    }

    /// What failed counts no more.
    pub fn forgive(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.failed = false);
    }

    /// The play ends for the host. One that is in a rescue counts as rescued.
    pub fn end(&mut self) {
        let rescued = self.frames.last().is_some_and(|frame| frame.section == Section::Rescue);
        self.frames.truncate(1);
        for frame in &mut self.frames {
            frame.section = Section::Over;
            frame.failed &= !rescued;
        }
    }

    /// Whether the play itself knows of a failure.
    pub fn is_known(&self) -> bool {
        self.frames.first().is_some_and(|frame| frame.failed)
    }

    /// Whether any block knows of one.
    pub fn is_failed(&self) -> bool {
        self.frames.iter().any(|frame| frame.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_one_section_after_the_other() {
        let mut frames = Frames::default();
        frames.enter(0, Frame::new(true, true));
        for section in [Section::Rescue, Section::Always, Section::Over, Section::Over] {
            frames.fail();
            assert!(frames.comes_to(0, section), "{section:?}");
        }
        assert!(frames.is_known());
    }

    #[test]
    fn what_is_around_learns_when_it_goes_on() {
        let mut frames = Frames::default();
        frames.enter(0, Frame::new(false, true));
        frames.enter(1, Frame::plain());
        frames.fail();
        // However often it fails before that, this is one failure to what is around.
        frames.fail();
        assert!(!frames.is_known() && frames.is_failed());
        assert!(!frames.comes_to(0, Section::Rescue) && !frames.is_known());
        assert!(frames.comes_to(0, Section::Always) && frames.is_known());
    }

    #[test]
    fn a_rescue_that_is_through_leaves_no_failure() {
        let mut frames = Frames::default();
        frames.enter(0, Frame::new(true, true));
        frames.fail();
        frames.begin(0, Section::Rescue);
        assert!(frames.is_known());
        frames.begin(0, Section::Always);
        assert!(!frames.is_known() && !frames.ends_always(0));
    }

    #[test]
    fn an_always_that_is_through_leaves_the_failure_before_it() {
        let mut frames = Frames::default();
        frames.enter(0, Frame::new(false, true));
        frames.fail();
        frames.begin(0, Section::Always);
        assert!(frames.ends_always(0) && frames.is_known());
        frames.forgive();
        assert!(!frames.is_failed());
    }

    #[test]
    fn who_is_in_a_rescue_where_the_play_ends_counts_as_rescued() {
        let ended = |within: bool| {
            let mut frames = Frames::default();
            frames.enter(0, Frame::new(true, false));
            frames.fail();
            frames.begin(0, Section::Rescue);
            if within {
                frames.enter(1, Frame::plain());
            }
            frames.end();
            frames.is_known()
        };
        assert!(!ended(false));
        // In what it has within it does not.
        assert!(ended(true));
    }

    #[test]
    fn what_failed_between_blocks_is_known_until_the_next_task() {
        let mut frames = Frames::default();
        frames.fail();
        assert!(frames.is_known());
        frames.go_on(0);
        assert!(!frames.is_known());
    }
}
