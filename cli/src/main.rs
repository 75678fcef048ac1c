//! The `wopr` program: what is typed, done with a node, and shown.
#![forbid(unsafe_code)]

mod args;
mod command;
mod config;
mod daemon;
mod demo;
mod dht;
mod duration;
mod exit;
mod local;
mod log;
mod mcp;
mod metrics;
mod node;
mod output;
mod secret;
mod sim;
mod top;
mod web;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use wopr_p2p_smol::home::Home;

use crate::args::{Area, Cli, Daemon, P2p};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let (out, result) = match Cli::try_parse() {
        Ok(cli) => (Output::new(cli.json), smol::block_on(run(cli))),
        Err(error) => (Output::new(std::env::args_os().any(|word| word == "--json")), not_a_command(&error)),
    };
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(exit)) => exit.into(),
        // Where nothing can be written, the exit code is all that is left to say it with.
        Err(failure) => out.show_failure(&failure).map_or(Exit::Invalid, |()| failure.exit).into(),
    }
}

/// Does it; the exit code is that of a result that says that something is not as it should be.
async fn run(cli: Cli) -> Result<Option<Exit>, Failure> {
    let out = Output::new(cli.json);
    let home = || {
        let home = cli.home.as_ref().map_or_else(Home::from_env, Home::at);
        home.map_err(|error| Failure::invalid(error.to_string(), ""))
    };
    // A path that is no text is no matter here: the daemon has its own home.
    let words = || std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = match cli.area {
        Area::Daemon { command } => match command {
            Daemon::Run { detached } => return daemon::run(&home()?, out, detached).await.map(well),
            Daemon::Start => daemon::start(&home()?, out).await?,
            Daemon::Stop => daemon::stop(&home()?, out).await?,
            Daemon::Restart => daemon::restart(&home()?, out).await?,
            Daemon::Status => daemon::status(&home()?, out).await?,
        },
        Area::P2p { command } => match command {
            P2p::Node(command) => daemon::perform(&home()?, command, words(), out).await?,
            P2p::Events { follow: true } => daemon::follow(&home()?, words(), out).await?,
            P2p::Events { follow: false } => local::events(&home()?, out)?,
            P2p::Ui { open } => daemon::page(&home()?, open, out).await?,
            P2p::Dht { listen } => return dht::run(listen, Config::load(home()?.folder())?, out).await.map(well),
            P2p::Demo => return demo::run(out).await.map(well),
            P2p::DemoAnswer => return demo::answer::run(out).map(well),
        },
        Area::Mcp(typed) => mcp::run(&home()?, &typed, out)?,
        Area::Config { command } => local::config(&home()?, command, out)?,
        Area::Sessions { command } => local::sessions(&home()?, command, out)?,
        Area::Logs(logs) => local::logs(&home()?, &logs, out)?,
        Area::Top => return top::run(&home()?).map(well),
        Area::Plugin { command } => local::plugin(&home()?, command, out).await?,
        Area::Sim(sim) => return sim::run(&sim, out).map(well),
        Area::Completions { shell } => return local::completions(shell).map(well),
        Area::Man { dir } => local::manual(dir.as_deref(), out)?,
    };
    out.show(&shown)?;
    Ok(shown.exit)
}

/// What is done is done well.
fn well((): ()) -> Option<Exit> {
    None
}

/// What was typed is no command: help and version were asked for, or it is wrong.
fn not_a_command(error: &clap::Error) -> Result<Option<Exit>, Failure> {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.print()?;
        return Ok(None);
    }
    let said = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::invalid("a command is missing", format!("add one of these:\n\n{}", said.trim_end())));
    }
    let said = said.trim().strip_prefix("error: ").unwrap_or(&said);
    let (message, next) = said.split_once("\n\n").unwrap_or((said, ""));
    Err(Failure::invalid(message, next.trim()))
}
