//! Where `initdb` and `postgres` are, how old they are, and a copy of them where the database's user cannot reach them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::error::{Error, Result};
use super::place::{SHARED, digest};
use crate::storage::postgres::OLDEST_POSTGRES;

/// Programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Folder of `initdb` and `postgres`, resolved.
    pub folder: PathBuf,
    /// Major version.
    pub major: u32,
    /// The version as the program prints it.
    pub version: String,
}

impl Binaries {
    /// Those in `configured`, else the newest of the usual places; of the version `major` where a cluster needs it.
    ///
    /// *Errors*: none found; says where was looked and what was there.
    pub fn find(configured: Option<&Path>, major: Option<u32>) -> Result<Self> {
        let folders = configured.map_or_else(usual_places, |folder| vec![folder.to_owned()]);
        let found: Vec<Self> = folders
            .iter()
            .filter_map(|folder| Self::at(folder))
            .collect();
        let fits =
            |it: &&Self| it.major >= OLDEST_POSTGRES && major.is_none_or(|major| it.major == major);
        let best = found.iter().filter(fits).max_by_key(|it| it.major);
        best.cloned().ok_or_else(|| Error::NoBinaries {
            wanted: major.map_or_else(
                || format!("{OLDEST_POSTGRES} or newer"),
                |major| format!("{major}, which made the cluster,"),
            ),
            looked: looked(&folders, &found),
        })
    }

    fn at(folder: &Path) -> Option<Self> {
        let folder = folder
            .join("postgres")
            .canonicalize()
            .ok()?
            .parent()?
            .to_owned();
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let major = major_of(&version)?;
        Some(Self {
            folder,
            major,
            version,
        })
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same programs where `account` can reach them.
    pub fn reachable(self, account: &Account) -> Result<Self> {
        if account.barred_by(&self.program("postgres")).is_none() {
            return Ok(self);
        }
        let Some(prefix) = self.folder.parent() else {
            return Ok(self);
        };
        let name = format!(
            "postgres-{}-{}",
            self.major,
            digest(&[
                prefix.as_os_str().as_encoded_bytes(),
                self.version.as_bytes()
            ])
        );
        let copy = Path::new(SHARED).join(name);
        account.require_reach(&copy)?;
        if !copy.is_dir() {
            copy_install(prefix, &copy)?;
        }
        let folder = inside(&copy, prefix).join("bin");
        Ok(Self { folder, ..self })
    }
}

/// `postgres (PostgreSQL) 15.4 (Debian …)` → 15.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn usual_places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|it| it.join("postgres").exists())
        .collect();
    let packaged = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    places.extend(packaged.map(|entry| entry.path().join("bin")));
    places.extend(fetched());
    places
}

/// `.postgres` of the checkout: of the working folder or of a parent of this program.
fn fetched() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|it| it.ancestors().skip(1));
    let here = std::env::current_dir().ok();
    let folders = here
        .as_deref()
        .into_iter()
        .chain(above)
        .map(|it| it.join(".postgres"));
    let candidates = folders.filter(|it| it.is_dir());
    candidates
        .map(|it| it.join("bin"))
        .filter(|it| it.join("postgres").exists())
        .collect()
}

fn looked(folders: &[PathBuf], found: &[Binaries]) -> String {
    if folders.is_empty() {
        return "PATH, /usr/lib/postgresql/*/bin and .postgres".into();
    }
    let versions: Vec<String> = found
        .iter()
        .map(|it| format!("{} has {}", it.folder.display(), it.major))
        .collect();
    let folders: Vec<String> = folders.iter().map(|it| it.display().to_string()).collect();
    match versions.is_empty() {
        true => folders.join(", "),
        false => format!("{}; {}", folders.join(", "), versions.join(", ")),
    }
}

/// Where the copy of `prefix` lies in `copy`: two levels down, because wheels keep libraries two levels up, in
/// `<package>.libs`.
fn inside(copy: &Path, prefix: &Path) -> PathBuf {
    let names = [
        prefix.parent().and_then(Path::file_name),
        prefix.file_name(),
    ];
    names
        .into_iter()
        .flatten()
        .fold(copy.to_owned(), |path, name| path.join(name))
}

/// Copies programs, libraries and shared files; complete or not there at all.
fn copy_install(prefix: &Path, copy: &Path) -> Result<()> {
    let unfinished = copy.with_extension(format!("{}.part", std::process::id()));
    let target = inside(&unfinished, prefix);
    for part in ["bin", "lib", "share"] {
        copy_tree(&prefix.join(part), &target.join(part))?;
    }
    if let Some(package) = prefix.parent() {
        let mut libraries = package.as_os_str().to_owned();
        libraries.push(".libs");
        let libraries = PathBuf::from(libraries);
        if let (true, Some(name)) = (libraries.is_dir(), libraries.file_name()) {
            copy_tree(&libraries, &unfinished.join(name))?;
        }
    }
    match std::fs::rename(&unfinished, copy) {
        Err(_) if copy.is_dir() => Ok(()), // another server was first
        other => other.map_err(Error::io("rename", &unfinished)),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).map_err(Error::io("make", to))?;
    open_to_all(to)?;
    let entries = std::fs::read_dir(from).map_err(Error::io("read", from))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", from))?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        match path.is_dir() {
            true => copy_tree(&path, &to.join(name))?,
            false => {
                std::fs::copy(&path, to.join(name)).map_err(Error::io("copy", &path))?;
                open_to_all(&to.join(name))?;
            }
        }
    }
    Ok(())
}

/// Readable for everybody, and executable where it was or is a folder: the umask must not shut the user out.
fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let facts = std::fs::metadata(path).map_err(Error::io("read", path))?;
    let executable = if facts.permissions().mode() & 0o100 != 0 {
        0o755
    } else {
        0o644
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(executable))
        .map_err(Error::io("open", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_program_prints() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_folder_without_programs_is_refused_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(empty.path()), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("scripts/postgres.sh") && error.contains("13 or newer"),
            "{error}"
        );
        assert!(
            error.contains(&empty.path().display().to_string()),
            "{error}"
        );
    }
}
