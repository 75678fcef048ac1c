//! Writes what the fuzzer starts from: `cargo run -p wopr-p2p-fuzz --example seeds -- FOLDER`.

#![allow(clippy::disallowed_methods, reason = "seeds are files")]

use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "fuzz/work".into()));
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/vectors");
    for (number, (target, bytes)) in wopr_p2p_fuzz::seeds::all(&vectors).into_iter().enumerate() {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("seed-{number:03}")), bytes)?;
    }
    Ok(())
}
