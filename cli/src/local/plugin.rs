//! `plugin …`: one plugin, built in, that can be switched off.

use serde_json::{Value, json};
use wopr_p2p_smol::home::Home;

use super::config::edit;
use crate::args::Plugin;
use crate::config::Config;
use crate::daemon;
use crate::exit::Failure;
use crate::output::{Cell, GOOD, Json, Object, Output, Shown, Table, View, WARN};

/// `plugin install|enable|disable|list`.
///
/// # Errors
/// The settings cannot be read or written, or the daemon does not stop.
pub(crate) async fn plugin(home: &Home, command: Plugin, out: Output) -> Result<Shown, Failure> {
    let said = match command {
        Plugin::Install { name } => format!("{name} is built in: nothing is to be installed."),
        Plugin::Enable { name } => {
            edit(home, &["plugins", "disabled"], Value::Null)?;
            format!("{name} is enabled.")
        }
        Plugin::Disable { name } => {
            edit(home, &["plugins", "disabled"], json!([name]))?;
            daemon::stop(home, out).await?;
            format!("{name} is disabled: no daemon runs, and its commands are refused.")
        }
        Plugin::List => String::new(),
    };
    out.render(&Plugins { enabled: !Config::load(home.folder())?.disabled, said })
}

/// The plugin, and what was done about it.
struct Plugins {
    enabled: bool,
    said: String,
}

impl View for Plugins {
    fn json(&self) -> Object {
        let p2p = Object::default().with("name", "p2p").with("version", env!("CARGO_PKG_VERSION"));
        let p2p = p2p.with("builtIn", true).with("enabled", self.enabled);
        Object::default().with("plugins", [p2p].into_iter().collect::<Json>())
    }

    fn text(&self) -> String {
        if !self.said.is_empty() {
            return format!("{}\n", self.said);
        }
        let state = if self.enabled { Cell::styled("enabled", GOOD) } else { Cell::styled("disabled", WARN) };
        let mut table = Table::new(["NAME", "VERSION", "STATE"], "");
        table.row(["p2p".into(), env!("CARGO_PKG_VERSION").into(), state]);
        table.render()
    }
}
