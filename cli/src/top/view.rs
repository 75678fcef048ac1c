//! Draws the state. At 80 columns and 24 lines everything has its place; what is smaller shows less of each panel.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table, Wrap};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::state::{Panel, State};

const KEYS: &str = " q quit · Tab next panel · ↑↓ scroll · Enter one panel alone";

/// Between two columns.
const SPACING: u16 = 2;

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
    let mut block = Block::bordered().title(title).border_style(border);
    if rows.is_empty() {
        let empty = Paragraph::new(Line::from(what.empty()).dim()).wrap(Wrap { trim: true });
        frame.render_widget(empty.block(block), place);
        return;
    }
    if !what.next().is_empty() {
        block = block.title_bottom(Line::from(format!(" {} ", what.next())).not_bold());
    }
    // No further than to the last row that fills the place.
    let room = usize::from(place.height.saturating_sub(if what.columns().is_empty() { 2 } else { 3 }));
    let offset = state.offsets[what as usize].min(rows.len().saturating_sub(room.max(1)));
    let widths = widths(what, rows, usize::from(place.width.saturating_sub(3)));
    let urgent = if matches!(what, Panel::Waiting | Panel::Bans) { Style::new().yellow() } else { Style::new() };
    let shown = rows.iter().skip(offset).take(room).map(|cells| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| cut(cell, *width));
        Row::new(cells).style(urgent)
    });
    let shown: Vec<_> = shown.collect();
    let places = widths.iter().map(|width| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    let mut table = Table::new(shown, places).block(block).column_spacing(SPACING);
    if !what.columns().is_empty() {
        let heads = what.columns().iter().zip(&widths).map(|(head, width)| cut(head, *width));
        table = table.header(Row::new(heads).style(Style::new().bold()));
    }
    state.offsets[what as usize] = offset;
    frame.render_widget(table, place);
}

/// Each column is as wide as its longest text; where there is no room for that, the widest give way.
fn widths(what: Panel, rows: &[Vec<String>], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = what.columns().iter().map(|head| head.width()).collect();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width()).min(room);
        }
    }
    let room = room.saturating_sub(usize::from(SPACING) * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room
        && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > 1)
    {
        *widest -= 1;
    }
    widths
}

/// A text as it fits; that something is missing can be seen.
fn cut(text: &str, room: usize) -> Cow<'_, str> {
    if text.width() <= room {
        return Cow::Borrowed(text);
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.width() + c.width().unwrap_or(0) >= room {
            break;
        }
        short.push(c);
    }
    short.push('…');
    Cow::Owned(short)
}
