//! `wopr top`: the node at a glance, on a terminal, again and again until it is left.
//!
//! It asks the daemon what the commands ask it, in their JSON form, and reads the log of events. Nothing is changed here.

mod state;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use smol::channel::{Receiver, Sender, bounded};
use wopr_p2p_smol::event_log::{EventReader, Query};
use wopr_p2p_smol::home::Home;

use self::state::{Glance, State};
use crate::daemon::Asking;
use crate::exit::{Exit, Failure};

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a new look, or a key, shows.
const TICK: Duration = Duration::from_millis(100);
/// How many of the last events are kept.
const EVENTS: usize = 200;

/// What is asked, in the order of [`Glance::new`].
const QUESTIONS: [&[&str]; 5] = [&["status"], &["peers"], &["grants"], &["requests"], &["outbox", "list"]];

/// Shows it until the owner leaves.
///
/// # Errors
/// There is no terminal, or no daemon runs, or it ends.
pub(crate) fn run(home: &Home) -> Result<(), Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let next = "for programs there is `wopr p2p status --json`, and `wopr p2p events --follow --json`";
        return Err(Failure::invalid("wopr top needs a terminal", next));
    }
    let mut asking = Asking::of(home);
    let first = smol::block_on(look(home, &mut asking))?;
    let (to, looks) = bounded(1);
    let looking = smol::spawn(keep_looking(home.clone(), asking, to));
    // From here on the screen is ours; a panic gives it back, too.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, State::new(first), &looks);
    let restored = ratatui::try_restore();
    drop(looking);
    shown?;
    Ok(restored?)
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut state: State,
    looks: &Receiver<Result<Glance, Failure>>,
) -> Result<(), Failure> {
    loop {
        terminal.draw(|frame| view::draw(frame, &mut state))?;
        while !event::poll(TICK)? {
            if let Ok(look) = looks.try_recv() {
                state.see(look?);
                break;
            }
        }
        while event::poll(Duration::ZERO)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match means(key) {
                    Some(Key::Leave) => return Ok(()),
                    Some(Key::Other(change)) => change(&mut state),
                    None => {}
                },
                _ => {}
            }
        }
    }
}

/// What a key means.
enum Key {
    Leave,
    Other(fn(&mut State)),
}

fn means(key: KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Leave,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Leave,
        KeyCode::Tab | KeyCode::Right => Key::Other(State::next_panel),
        KeyCode::BackTab | KeyCode::Left => Key::Other(State::previous_panel),
        KeyCode::Enter | KeyCode::Char('z') => Key::Other(State::zoom),
        KeyCode::Down | KeyCode::Char('j') => Key::Other(|state| state.scroll(1)),
        KeyCode::Up | KeyCode::Char('k') => Key::Other(|state| state.scroll(-1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Key::Other(|state| state.scroll(10)),
        KeyCode::PageUp => Key::Other(|state| state.scroll(-10)),
        _ => return None,
    })
}

async fn keep_looking(home: Home, mut asking: Asking, to: Sender<Result<Glance, Failure>>) {
    loop {
        smol::Timer::after(EVERY).await;
        let look = look(&home, &mut asking).await;
        let over = look.is_err();
        if to.send(look).await.is_err() || over {
            return;
        }
    }
}

/// One look at everything.
async fn look(home: &Home, asking: &mut Asking) -> Result<Glance, Failure> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let words = ["p2p"].iter().chain(question).chain(&["--json"]).map(|word| (*word).to_owned()).collect();
        let shown = asking.ask(words).await?;
        answers.push(serde_json::from_str(&shown.out).map_err(|error| {
            Failure::new(Exit::Rejected, format!("the daemon's answer cannot be read: {error}"), "wopr daemon restart")
        })?);
    }
    let reader = EventReader::new(home);
    let events = smol::unblock(move || reader.read(&Query { tail: Some(EVENTS), ..Query::default() })).await;
    let events = events.map_err(|error| Failure::invalid(error.to_string(), ""))?;
    Ok(Glance::new(&answers, &events))
}

#[cfg(test)]
mod tests;
