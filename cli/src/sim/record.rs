//! The files that show one run.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use wopr_p2p_sim::{Scenario, World, report};

use crate::args::Sim;
use crate::exit::Failure;

/// Runs a scenario again, writing everything down, and makes the files that were asked for.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(sim: &Sim, scenario: &Scenario) -> Result<(), Failure> {
    if sim.trace.is_none() && sim.html.is_none() {
        return Ok(());
    }
    let mut world = World::new(scenario, true);
    world.run();
    if let Some(path) = &sim.trace {
        to_file(path, |file| report::lines(&world).try_for_each(|line| writeln!(file, "{line}")))?;
    }
    if let Some(path) = &sim.html {
        to_file(path, |file| file.write_all(report::page(&world).as_bytes()))?;
    }
    Ok(())
}

fn to_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Failure> {
    let written = File::create(path).map(BufWriter::new).and_then(|mut file| {
        write(&mut file)?;
        file.flush()
    });
    written.map_err(|error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Failure::invalid(message, "name a file in a folder that you may write to")
    })
}
