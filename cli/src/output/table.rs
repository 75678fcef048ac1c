//! Aligned text: tables with a heading, and lists of labelled fields.

use std::fmt;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::printable::printable_line;
use super::{BOLD, DIM};

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

    /// The whole table.
    pub(crate) fn render(&self) -> String {
        if self.rows.len() == 1 {
            return format!("{DIM}{}{DIM:#}\n", self.empty);
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let last = column + 1 == row.len();
                cell.write(&mut out, if last { 0 } else { widths[column] + 2 });
            }
            out.push('\n');
        }
        out
    }
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
        anstream::adapter::strip_str(styled).to_string()
    }

    #[test]
    fn columns_are_aligned_by_what_a_terminal_shows() {
        let mut table = Table::new(["NAME", "ID"], "nobody");
        table.row(["你好".into(), "1".into()]);
        table.row(["alice".into(), "2".into()]);
        assert_eq!(plain(&table.render()), "NAME   ID\n你好   1\nalice  2\n");
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
