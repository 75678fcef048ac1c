//! Draws the state. At 80 columns and 24 lines everything has its place; what is smaller shows less of each panel.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};
use unicode_width::UnicodeWidthStr as _;

use super::state::{Panel, State};

const KEYS: &str = " q quit · Tab next panel · ↑↓ scroll · Enter one panel alone";

pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let [head, body, keys] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    let [who, network] = &state.seen.head;
    frame.render_widget(Paragraph::new(vec![Line::from(who.as_str()).bold(), Line::from(network.as_str())]), head);
    frame.render_widget(Line::from(KEYS).dim(), keys);
    if state.zoomed {
        panel(frame, body, state, state.focus);
        return;
    }
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Fill(2), Constraint::Fill(1), Constraint::Fill(2)]).areas(body);
    let halves = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]);
    let ([peers, grants], [bans, waiting]) = (halves.areas(top), halves.areas(middle));
    for (place, what) in [
        (peers, Panel::Peers),
        (grants, Panel::Grants),
        (waiting, Panel::Waiting),
        (bans, Panel::Bans),
        (bottom, Panel::Events),
    ] {
        panel(frame, place, state, what);
    }
}

fn panel(frame: &mut Frame<'_>, place: Rect, state: &mut State, what: Panel) {
    let rows = state.seen.rows(what);
    let border = if state.focus == what { Style::new().cyan().bold() } else { Style::new().dim() };
    let title = format!(" {} ({}) ", what.title(), rows.len());
    let block = Block::bordered().title(title).border_style(border);
    if rows.is_empty() {
        frame.render_widget(Paragraph::new(Line::from(what.empty()).dim()).block(block), place);
        return;
    }
    // No further than to the last row that fills the place.
    let room = usize::from(place.height.saturating_sub(if what.columns().is_empty() { 2 } else { 3 }));
    let offset = state.offsets[what as usize].min(rows.len().saturating_sub(room.max(1)));
    let shown = rows.iter().skip(offset).map(|cells| Row::new(cells.iter().map(String::as_str)));
    let shown: Vec<_> = if what == Panel::Waiting || what == Panel::Bans {
        shown.map(|row| row.style(Style::new().yellow())).collect()
    } else {
        shown.collect()
    };
    let mut table = Table::new(shown, widths(what, rows)).block(block).column_spacing(2);
    if !what.columns().is_empty() {
        table = table.header(Row::new(what.columns().iter().copied()).style(Style::new().bold()));
    }
    state.offsets[what as usize] = offset;
    frame.render_widget(table, place);
}

/// Each column is as wide as its longest text, as far as there is room.
fn widths(what: Panel, rows: &[Vec<String>]) -> Vec<Constraint> {
    let mut longest: Vec<usize> = what.columns().iter().map(|head| head.width()).collect();
    for row in rows {
        longest.resize(longest.len().max(row.len()), 0);
        for (longest, cell) in longest.iter_mut().zip(row) {
            *longest = (*longest).max(cell.width());
        }
    }
    longest.into_iter().map(|width| Constraint::Max(u16::try_from(width).unwrap_or(u16::MAX))).collect()
}
