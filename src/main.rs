//! The program: reads the command line and, for commands that compute, makes the process fit for it first.

use std::process::ExitCode;

use clap::Parser;
use vivarium::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.runs_engine()
        && let Err(error) = prepare()
    {
        eprintln!("vivarium: {error}");
        return ExitCode::FAILURE;
    }
    cli::run(&cli.command)
}

/// What the engine's libraries read when they are loaded, before the first line of this program.
#[cfg(feature = "server")]
const ENVIRONMENT: [(&str, &str); 6] = [
    // Spinning threads of one attempt would steal the processor from its neighbours.
    ("OMP_WAIT_POLICY", "passive"),
    // Without a fixed workspace the same product may round differently from run to run.
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    // Segments that grow leave less memory unusable between differently shaped jobs.
    ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
    // Activations of a step are freed and wanted again by the next: handing their pages back to the system and faulting them in
    // anew costs a quarter of a small model's step.
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// Starts this program anew with the environment above, unless it is set already.
#[cfg(feature = "server")]
fn prepare() -> std::io::Result<()> {
    use std::os::unix::process::CommandExt;
    let missing = ENVIRONMENT
        .iter()
        .filter(|(name, _)| std::env::var_os(name).is_none());
    let missing: Vec<_> = missing.copied().collect();
    if missing.is_empty() {
        // Before the first question for a device, whose answer is kept for good.
        vivarium::engine::device::open_cuda();
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "vivarium".into());
    let mut command = std::process::Command::new(std::env::current_exe()?);
    Err(command.arg0(name).args(arguments).envs(missing).exec())
}

#[cfg(not(feature = "server"))]
fn prepare() -> std::io::Result<()> {
    Ok(())
}
