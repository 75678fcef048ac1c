//! Shell completions and manual pages, from the definitions that the commands are read by.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Failure;
use crate::output::{Object, Output, Shown, View};

/// `completions SHELL`.
///
/// # Errors
/// Stdout cannot be written.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wopr", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// `man [--dir DIR]`.
///
/// # Errors
/// The folder or stdout cannot be written.
pub(crate) fn manual(folder: Option<&Path>, out: Output) -> Result<Shown, Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        io::stdout().write_all(&page)?;
        return Ok(Shown::default());
    };
    let cannot = |error: io::Error| {
        Failure::invalid(
            format!("the pages cannot be written to {}: {error}", folder.display()),
            "name a folder that you may write to",
        )
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(cannot)?;
    out.render(&Written(folder))
}

/// Where the pages are.
struct Written<'a>(&'a Path);

impl View for Written<'_> {
    fn json(&self) -> Object {
        Object::default().shown("dir", self.0.display())
    }

    fn text(&self) -> String {
        format!("The pages are in {}.\n", self.0.display())
    }
}
