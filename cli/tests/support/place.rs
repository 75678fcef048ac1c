//! Where the programs of a test run.

use std::ffi::OsStr;
use std::process::Command;

/// Where programs run: this machine as it is, or a host of the lab.
#[derive(Clone, Default)]
pub(crate) struct Place {
    prefix: Vec<String>,
}

impl Place {
    /// This machine: programs meet on loopback.
    pub(crate) fn here() -> Place {
        Place::default()
    }

    /// Inside a network namespace. `ip netns exec` becomes the program, so the child's pid is the program's own.
    pub(crate) fn namespace(name: &str) -> Place {
        Place { prefix: ["ip", "netns", "exec", name].map(str::to_owned).to_vec() }
    }

    /// Inside the mount namespace of a process. `nsenter` becomes the program.
    pub(crate) fn mounts_of(pid: u32) -> Place {
        Place { prefix: ["nsenter", "--mount", "--target", &pid.to_string(), "--"].map(str::to_owned).to_vec() }
    }

    /// The command that runs `program` there.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }
}
