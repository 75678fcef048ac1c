//! Who may see the page: whoever has a link that the daemon made for its owner, and then the browser that used it.
//!
//! A link works once and for two minutes. It gives a session of the browser: a *door*, which is a part of every path of
//! the page, and a key, which is a cookie for that path. Browsers send the cookies of 127.0.0.1 to every port of it;
//! with the door in the path no other program on this machine gets ours. A third secret stands in each form, so that
//! no request counts that was not made by the page. All of it is in memory only, bounded, and ends by itself.

use std::time::{Duration, Instant};

use crate::secret::Secret;

/// How long a link waits to be used.
pub(crate) const LINK_TIME: Duration = Duration::from_secs(120);
/// How long a browser may be idle.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long it has the page at most.
pub(super) const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Links that wait, and browsers, at most; one more takes the place of the oldest.
const MAX: usize = 16;

struct Link {
    token: Secret,
    made: Instant,
}

struct Session {
    entered: Entered,
    form: Secret,
    since: Instant,
    used: Instant,
    notice: Option<Notice>,
}

/// What a browser gets for its link.
#[derive(Clone)]
pub(super) struct Entered {
    /// The part of the path.
    pub(super) door: Secret,
    /// The cookie's value.
    pub(super) key: Secret,
}

/// What came of the last action, to be shown once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whether it was done.
    pub(super) done: bool,
    /// What happened.
    pub(super) text: String,
    /// What to do next or to know beside it.
    pub(super) more: String,
}

/// Links and sessions.
#[derive(Default)]
pub(super) struct Logins {
    links: Vec<Link>,
    sessions: Vec<Session>,
}

impl Logins {
    /// A new link's token.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub(super) fn link(&mut self, now: Instant) -> Result<Secret, getrandom::Error> {
        let token = Secret::new()?;
        self.links.retain(|link| now.duration_since(link.made) < LINK_TIME);
        make_room(&mut self.links);
        self.links.push(Link { token: token.clone(), made: now });
        Ok(token)
    }

    /// Uses a link up, and lets its browser in; `None` if there is no such link any more.
    ///
    /// # Errors
    /// The operating system gives no randomness.
    pub(super) fn enter(&mut self, token: &str, now: Instant) -> Result<Option<Entered>, getrandom::Error> {
        self.links.retain(|link| now.duration_since(link.made) < LINK_TIME);
        let Some(place) = self.links.iter().position(|link| link.token.is(token)) else { return Ok(None) };
        self.links.remove(place);
        let (entered, form) = (Entered { door: Secret::new()?, key: Secret::new()? }, Secret::new()?);
        self.drop_ended(now);
        make_room(&mut self.sessions);
        self.sessions.push(Session { entered: entered.clone(), form, since: now, used: now, notice: None });
        Ok(Some(entered))
    }

    /// The forms' secret of the session behind this door, if one of the keys fits. `used`: its owner did something.
    pub(super) fn find<'k>(
        &mut self,
        door: &str,
        mut keys: impl Iterator<Item = &'k str>,
        used: bool,
        now: Instant,
    ) -> Option<Secret> {
        self.drop_ended(now);
        let session = self.sessions.iter_mut().find(|session| session.entered.door.is(door))?;
        if !keys.any(|key| session.entered.key.is(key)) {
            return None;
        }
        if used {
            session.used = now;
        }
        Some(session.form.clone())
    }

    /// Ends the session behind this door.
    pub(super) fn leave(&mut self, door: &str) {
        self.sessions.retain(|session| !session.entered.door.is(door));
    }

    /// Whether the session behind this door goes on.
    pub(super) fn is_open(&mut self, door: &str, now: Instant) -> bool {
        self.drop_ended(now);
        self.sessions.iter().any(|session| session.entered.door.is(door))
    }

    /// Leaves a notice for the next page.
    pub(super) fn notify(&mut self, door: &str, notice: Notice) {
        if let Some(session) = self.sessions.iter_mut().find(|session| session.entered.door.is(door)) {
            session.notice = Some(notice);
        }
    }

    /// Takes the notice.
    pub(super) fn take_notice(&mut self, door: &str) -> Option<Notice> {
        self.sessions.iter_mut().find(|session| session.entered.door.is(door))?.notice.take()
    }

    fn drop_ended(&mut self, now: Instant) {
        self.sessions
            .retain(|session| now.duration_since(session.used) < IDLE && now.duration_since(session.since) < LONGEST);
    }
}

fn make_room<T>(list: &mut Vec<T>) {
    if list.len() >= MAX {
        list.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_in() -> (Logins, Entered, Instant) {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let token = logins.link(now).unwrap();
        let entered = logins.enter(token.as_str(), now).unwrap().unwrap();
        (logins, entered, now)
    }

    fn finds(logins: &mut Logins, entered: &Entered, used: bool, now: Instant) -> bool {
        logins.find(entered.door.as_str(), [entered.key.as_str()].into_iter(), used, now).is_some()
    }

    #[test]
    fn a_link_works_once() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let token = logins.link(now).unwrap();
        assert!(logins.enter("0", now).unwrap().is_none());
        assert!(logins.enter(token.as_str(), now).unwrap().is_some());
        assert!(logins.enter(token.as_str(), now).unwrap().is_none());
    }

    #[test]
    fn a_link_ends_after_two_minutes() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        let token = logins.link(now).unwrap();
        assert!(logins.enter(token.as_str(), now + LINK_TIME).unwrap().is_none());
    }

    #[test]
    fn a_door_opens_with_its_own_key_alone() {
        let (mut logins, entered, now) = logged_in();
        let token = logins.link(now).unwrap();
        let other = logins.enter(token.as_str(), now).unwrap().unwrap();
        assert!(finds(&mut logins, &entered, true, now) && finds(&mut logins, &other, true, now));
        let mixed = Entered { door: entered.door.clone(), key: other.key };
        assert!(!finds(&mut logins, &mixed, true, now));
        // A cookie that another port set stands beside ours, and changes nothing.
        let keys = ["planted", entered.key.as_str()];
        assert!(logins.find(entered.door.as_str(), keys.into_iter(), true, now).is_some());
        assert!(logins.find(entered.door.as_str(), std::iter::empty(), true, now).is_none());
    }

    #[test]
    fn an_idle_session_ends_and_what_the_page_does_by_itself_is_idle() {
        let (mut logins, entered, now) = logged_in();
        let almost = now + IDLE - Duration::from_secs(1);
        assert!(finds(&mut logins, &entered, false, almost));
        assert!(!finds(&mut logins, &entered, false, now + IDLE));
        let (mut logins, entered, now) = logged_in();
        assert!(finds(&mut logins, &entered, true, almost));
        assert!(finds(&mut logins, &entered, true, now + IDLE));
    }

    #[test]
    fn a_session_ends_after_twelve_hours_however_busy() {
        let (mut logins, entered, mut now) = logged_in();
        let end = now + LONGEST;
        while now < end {
            assert!(finds(&mut logins, &entered, true, now));
            now += IDLE / 2;
        }
        assert!(!finds(&mut logins, &entered, true, now));
    }

    #[test]
    fn logging_out_ends_it() {
        let (mut logins, entered, now) = logged_in();
        logins.leave(entered.door.as_str());
        assert!(!finds(&mut logins, &entered, true, now));
    }

    #[test]
    fn links_and_sessions_are_bounded() {
        let (mut logins, now) = (Logins::default(), Instant::now());
        for _ in 0..3 * MAX {
            let token = logins.link(now).unwrap();
            logins.enter(token.as_str(), now).unwrap().unwrap();
            logins.link(now).unwrap();
        }
        assert!(logins.links.len() <= MAX && logins.sessions.len() <= MAX);
    }
}
