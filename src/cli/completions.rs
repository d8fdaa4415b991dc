//! `vivarium completions`: what a shell needs to complete commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::Cli;
use super::output::text;

/// `completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  vivarium completions bash > ~/.local/share/bash-completion/completions/vivarium
  vivarium completions zsh > ~/.zfunc/_vivarium        with fpath+=~/.zfunc before compinit
  vivarium completions fish > ~/.config/fish/completions/vivarium.fish")]
pub struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: KnownShell,
}

/// Shells that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// Writes the completions.
pub fn run(completions: &Completions) -> Result<()> {
    text(&script(completions.shell))
}

fn script(shell: KnownShell) -> String {
    let shell = match shell {
        KnownShell::Bash => Shell::Bash,
        KnownShell::Zsh => Shell::Zsh,
        KnownShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "vivarium", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [KnownShell::Bash, KnownShell::Zsh, KnownShell::Fish] {
            let script = script(shell);
            for command in ["submit", "watch", "download", "completions"] {
                assert!(script.contains(command), "{shell:?} {command}");
            }
        }
    }
}
