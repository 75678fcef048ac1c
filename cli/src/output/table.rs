//! Aligned text: tables with a heading, and lists of labelled fields.
//!
//! A daemon renders for whoever asks it, and does not know how wide their terminal is. So a rendered table has its cells
//! apart, and is laid out where it is printed ([`laid_out`]).

use std::fmt;

use anstream::adapter::strip_str;
use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::printable::printable_line;
use super::{BOLD, DIM};

/// Between two cells of a rendered table. No cell holds it: control characters are taken out of every text.
const BETWEEN: char = '\u{1f}';
/// Between two columns.
const GAP: usize = 2;
/// A column is never made narrower than this: ids, times and words of the program are whole.
const NARROW: usize = 12;

/// One cell: made harmless and put on one line.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in this style.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: printable_line(text.as_ref()), style }
    }

    fn width(&self) -> usize {
        self.text.width()
    }

    /// Writes the cell, filled up with blanks to `width` columns.
    fn write(&self, out: &mut String, width: usize) {
        let fill = width.saturating_sub(self.width());
        out.push_str(&format!("{self}{:fill$}", ""));
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, style } = self;
        write!(f, "{style}{text}{style:#}")
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows under a heading; an empty one says so.
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    empty: &'static str,
}

impl Table {
    /// A table with this heading; `empty` is said instead where no row follows.
    pub(crate) fn new<const N: usize>(heading: [&str; N], empty: &'static str) -> Self {
        Self { rows: vec![heading.iter().map(|text| Cell::styled(text, BOLD)).collect()], empty }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// The whole table, to be [`laid_out`].
    pub(crate) fn render(&self) -> String {
        if self.rows.len() == 1 {
            return format!("{DIM}{}{DIM:#}\n", self.empty);
        }
        let line = |row: &Vec<Cell>| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            cells.join(&BETWEEN.to_string()) + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

/// A text with its tables aligned, and cut to so many columns if there is a limit.
pub(crate) fn laid_out(text: &str, columns: Option<usize>) -> String {
    let mut out = String::new();
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if !line.contains(BETWEEN) {
            out.push_str(line);
            continue;
        }
        let mut rows = vec![line.trim_end_matches('\n')];
        while let Some(row) = lines.next_if(|line| line.contains(BETWEEN)) {
            rows.push(row.trim_end_matches('\n'));
        }
        lay_out(&rows, columns, &mut out);
    }
    out
}

fn lay_out(rows: &[&str], columns: Option<usize>, out: &mut String) {
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.split(BETWEEN).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| shown_width(cell)).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..count).map(width).collect();
    let gaps = GAP * count.saturating_sub(1);
    while columns.is_some_and(|columns| widths.iter().sum::<usize>() + gaps > columns) {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROW => *widest -= 1,
            _ => break,
        }
    }
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let cell = cut(cell, widths[column]);
            out.push_str(&cell);
            if column + 1 < row.len() {
                out.push_str(&" ".repeat(widths[column].saturating_sub(shown_width(&cell)) + GAP));
            }
        }
        out.push('\n');
    }
}

fn shown_width(cell: &str) -> usize {
    strip_str(cell).to_string().width()
}

/// The beginning of a cell, as much as has room, in its style.
fn cut(cell: &str, width: usize) -> String {
    if shown_width(cell) <= width {
        return cell.to_owned();
    }
    let (mut out, mut used, mut style) = (String::new(), 0, false);
    for char in cell.chars() {
        style |= char == '\u{1b}';
        if style {
            out.push(char);
            style = char != 'm';
        } else if used < width {
            let wide = char.width().unwrap_or(0);
            if used + wide < width {
                out.push(char);
                used += wide;
            } else {
                out.push('…');
                used = width;
            }
        }
    }
    out
}

/// Labelled values, one a line.
#[derive(Default)]
pub(crate) struct Fields {
    fields: Vec<(&'static str, Cell)>,
}

impl Fields {
    /// Adds a field.
    pub(crate) fn field(mut self, label: &'static str, value: impl Into<Cell>) -> Self {
        self.fields.push((label, value.into()));
        self
    }

    /// The lines, each indented by `indent` blanks.
    pub(crate) fn render(&self, indent: usize) -> String {
        let width = self.fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 3;
        let mut out = String::new();
        for (label, value) in &self.fields {
            out.push_str(&" ".repeat(indent));
            Cell::styled(format!("{label}:"), DIM).write(&mut out, width);
            value.write(&mut out, 0);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(styled: &str) -> String {
        strip_str(&laid_out(styled, None)).to_string()
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::new(["NAME", "ID"], "nobody");
        table.row(["你好".into(), "1".into()]);
        table.row(["alice".into(), "2".into()]);
        assert_eq!(plain(&table.render()), "NAME   ID\n你好   1\nalice  2\n");
    }

    #[test]
    fn a_table_is_cut_where_it_is_widest_to_fit_a_terminal() {
        let mut table = Table::new(["NAME", "ID"], "nobody");
        table.row([Cell::styled("a name without end", BOLD), "123456789012".into()]);
        table.row(["你好你好你好你好你好".into(), "1".into()]);
        let shown = laid_out(&table.render(), Some(28));
        let wanted = "NAME            ID\na name withou…  123456789012\n你好你好你好…   1\n";
        assert_eq!(plain(&shown), wanted);
        assert!(shown.contains(&format!("{BOLD}a name withou…{BOLD:#}")), "{shown:?}");
        let narrow = plain(&laid_out(&table.render(), Some(5)));
        assert!(narrow.contains("123456789012"), "what is short stays whole: {narrow}");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(plain(&Table::new(["NAME"], "no peers yet").render()), "no peers yet\n");
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_line() {
        let mut table = Table::new(["NAME", "ID"], "nobody");
        table.row(["a\nb\x1b[2J".into(), "1".into()]);
        assert_eq!(plain(&table.render()), "NAME  ID\na b   1\n");
    }

    #[test]
    fn fields_are_aligned() {
        let text = Fields::default().field("id", "1").field("publicKey", "MCow").render(2);
        assert_eq!(plain(&text), "  id:         1\n  publicKey:  MCow\n");
    }
}
