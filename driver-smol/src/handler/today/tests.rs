use smol::block_on;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::{EntryKind, SessionEntry};

use super::*;
use crate::home::Home;
use crate::session_file::SessionWriter;

const NOON: u64 = 20_000 * DAY + DAY / 2;

struct Asked {
    _folder: tempfile::TempDir,
    home: Home,
    writer: SessionWriter,
    session: SessionName,
}

impl Asked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let writer = SessionWriter::new(Arc::new(home.lock().unwrap()));
        Self { _folder: folder, home, writer, session: SessionName::new("main").unwrap() }
    }

    fn write(&mut self, kind: EntryKind, at: u64) {
        let peer = PublicKey::from_bytes([3; 32]);
        let (at, from, content) = (WallTime::from_millis(at), "bob".to_owned(), "?".to_owned());
        self.writer.append(&self.session, &SessionEntry { at, from, kind, content, peer, once: None }).unwrap();
    }

    fn today(&self) -> Today {
        Today::new(SessionReader::new(&self.home))
    }

    /// As the driver does it: the question is written, then counted.
    fn ask(&mut self, today: &Today, at: u64) -> Result<(), HandlerError> {
        self.write(EntryKind::Question, at);
        block_on(today.count(&self.session, NonZeroU32::new(3).unwrap(), WallTime::from_millis(at)))
    }
}

#[test]
fn a_session_is_asked_as_often_as_it_may_be_and_again_the_next_day() {
    let mut asked = Asked::new();
    let today = asked.today();
    for _ in 0..3 {
        asked.ask(&today, NOON).unwrap();
    }
    let refused = asked.ask(&today, NOON).unwrap_err();
    assert_eq!(refused, HandlerError::TooManyToday { session: asked.session.clone(), max_per_day: 3 });
    asked.ask(&today, NOON + DAY / 2).unwrap();
}

#[test]
fn a_restart_forgets_no_question() {
    let mut asked = Asked::new();
    let today = asked.today();
    for _ in 0..2 {
        asked.ask(&today, NOON).unwrap();
    }
    let today = asked.today();
    asked.ask(&today, NOON).unwrap();
    asked.ask(&today, NOON).unwrap_err();
}

#[test]
fn only_questions_of_today_count() {
    let mut asked = Asked::new();
    for _ in 0..9 {
        asked.write(EntryKind::Question, NOON - DAY);
        asked.write(EntryKind::Message, NOON);
        asked.write(EntryKind::Answer, NOON);
    }
    let today = asked.today();
    asked.ask(&today, NOON).unwrap();
}
