//! `sessions list` and `sessions history`: the whole record of each session, a page at a time.

use serde::Deserialize;
use serde_json::value::RawValue;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_smol::file::FileError;
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::session_file::{Page, SessionReader};

use crate::args::Sessions;
use crate::exit::Failure;
use crate::output::printable::printable;
use crate::output::{BOLD, Cell, DIM, Json, Object, Output, Shown, Table, View, WARN};

/// Messages in the short form.
const LAST: usize = 10;
/// Characters of a message in the short form.
const SHORT: usize = 200;

/// `sessions list|history`.
///
/// # Errors
/// There is no such session, or a file cannot be read.
pub(crate) fn sessions(home: &Home, command: Sessions, out: Output) -> Result<Shown, Failure> {
    let reader = SessionReader::new(home);
    match command {
        Sessions::List => out.render(&list(&reader)?),
        Sessions::History { session, full, offset, limit } => {
            let known = reader.path(&session).exists();
            if !known {
                let next = "`wopr sessions list` shows those that there are";
                return Err(Failure::invalid(format!("there is no session \"{session}\""), next));
            }
            if full {
                let page_size = usize::from(limit);
                let page = reader.history(&session, offset, page_size).map_err(unreadable)?;
                return out.render(&Full { session, page, page_size });
            }
            // The file only grows: what is written between the two looks is left out.
            let total = reader.history(&session, 0, 0).map_err(unreadable)?.total;
            let page = reader.history(&session, total.saturating_sub(LAST as u64), LAST).map_err(unreadable)?;
            out.render(&Short { session, page })
        }
    }
}

fn unreadable(error: FileError) -> Failure {
    Failure::invalid(error.to_string(), "")
}

fn list(reader: &SessionReader) -> Result<List, Failure> {
    let total = |session: SessionName| {
        let page = reader.history(&session, 0, 0).map_err(unreadable)?;
        Ok((session, page.total))
    };
    let sessions = reader.list().map_err(unreadable)?.into_iter().map(total);
    Ok(List(sessions.collect::<Result<_, Failure>>()?))
}

/// The sessions, each with how many messages it has.
struct List(Vec<(SessionName, u64)>);

impl View for List {
    fn json(&self) -> Object {
        let one = |(session, total): &(SessionName, u64)| {
            Object::default().with("session", session.as_str()).with("total", *total)
        };
        Object::default().with("sessions", self.0.iter().map(one).collect::<Json>())
    }

    fn text(&self) -> String {
        let mut table = Table::new(["SESSION", "MESSAGES"], "No sessions yet: nobody has written into any.");
        for (session, total) in &self.0 {
            table.row([session.as_str().into(), total.to_string().into()]);
        }
        table.render()
    }
}

/// A page of whole messages.
struct Full {
    session: SessionName,
    page: Page,
    page_size: usize,
}

impl View for Full {
    fn json(&self) -> Object {
        let Page { total, offset, lines, damaged } = &self.page;
        let next = self.page.next_offset();
        Object::default()
            .with("session", self.session.as_str())
            .with("total", *total)
            .with("offset", *offset)
            .with("pageSize", self.page_size)
            .with("returned", lines.len())
            .with("hasMore", next.is_some())
            .with("nextOffset", next)
            .with("history", lines.iter().map(|line| Json::from(line.as_ref())).collect::<Json>())
            .with("damagedLines", damaged.iter().copied().collect::<Json>())
    }

    fn text(&self) -> String {
        messages(&self.page, |message| (printable(&message.content), "\n"))
    }

    fn note(&self) -> String {
        let Page { total, offset, lines, .. } = &self.page;
        let last = offset + lines.len() as u64;
        match self.page.next_offset() {
            Some(next) => {
                format!("{DIM}Messages {} to {last} of {total}; go on with --offset {next}.{DIM:#}", offset + 1)
            }
            None => format!("{DIM}The last of {total} messages.{DIM:#}"),
        }
    }
}

/// The last messages, cut short.
struct Short {
    session: SessionName,
    page: Page,
}

impl View for Short {
    fn json(&self) -> Object {
        let one = |message: Message| {
            let (content, truncated) = cut(&message.content);
            Object::default()
                .with("ts", message.ts)
                .with("iso", message.iso)
                .with("from", message.from)
                .with("type", message.r#type)
                .with("content", content)
                .with("truncated", truncated)
                .with("channel", message.channel.as_deref())
        };
        Object::default()
            .with("session", self.session.as_str())
            .with("total", self.page.total)
            .with("returned", self.page.lines.len())
            .with("history", read(&self.page).map(one).collect::<Json>())
    }

    fn text(&self) -> String {
        messages(&self.page, |message| {
            let (content, truncated) = cut(&message.content);
            (Cell::from(content).to_string(), if truncated { "…\n" } else { "\n" })
        })
    }

    fn note(&self) -> String {
        format!("{DIM}The last of {} messages; --full shows all of each.{DIM:#}", self.page.total)
    }
}

/// What is shown of a line; a line that others wrote may lack some of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    ts: u64,
    iso: String,
    from: String,
    r#type: String,
    content: String,
    channel: Option<Box<RawValue>>,
}

fn read(page: &Page) -> impl Iterator<Item = Message> {
    page.lines.iter().map(|line| serde_json::from_str(line.get()).unwrap_or_default())
}

fn messages(page: &Page, content: impl Fn(&Message) -> (String, &'static str)) -> String {
    let mut text = String::new();
    for message in read(page) {
        let [iso, from, kind] = [&message.iso, &message.from, &message.r#type].map(Cell::from);
        let (content, end) = content(&message);
        text += &format!("{DIM}{iso}{DIM:#} {BOLD}{from}{BOLD:#} {DIM}{kind}:{DIM:#} {content}{end}");
    }
    if !page.damaged.is_empty() {
        text += &format!("{WARN}{} damaged lines are left out.{WARN:#}\n", page.damaged.len());
    }
    text
}

fn cut(text: &str) -> (String, bool) {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => (text[..end].to_owned(), true),
        None => (text.to_owned(), false),
    }
}
