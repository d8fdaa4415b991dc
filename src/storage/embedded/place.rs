//! Where a cluster's files and its socket lie, and its address.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::account::Account;
use super::error::{Error, Result};

/// Where root's clusters are, since a data folder under a closed home cannot be entered by the database's user.
pub const SHARED: &str = "/var/lib/vivarium";

/// Longest path of a socket; the system's own limit is 107 bytes.
const LONGEST_SOCKET: usize = 100;

/// The folders of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Holds all others but perhaps the socket's.
    pub top: PathBuf,
    /// PostgreSQL's data directory.
    pub cluster: PathBuf,
    /// Folder of the socket.
    pub socket: PathBuf,
    /// What the server prints.
    pub log: PathBuf,
}

impl Place {
    /// The folders for the data folder `data`, made and checked.
    ///
    /// *Errors*: a parent folder that `account` may not enter, by name.
    pub fn settle(data: &Path, account: &Account) -> Result<Self> {
        let top = match account {
            Account::Own => data.join("postgres"),
            Account::Other { .. } => shared_top(data)?,
        };
        let place = Self {
            cluster: top.join("cluster"),
            log: top.join("postgres.log"),
            socket: socket_folder(&top),
            top,
        };
        account.make_private(&place.top)?;
        account.require_reach(&place.cluster)?;
        account.make_private_or_refuse(&place.socket)?;
        account.require_reach(&place.socket.join("socket"))?;
        Ok(place)
    }

    /// Major version of the server that made the cluster; none while there is none.
    pub fn made_by(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.cluster.join("PG_VERSION")).ok()?;
        text.trim().parse().ok()
    }

    /// Address of the database `name` in this cluster.
    pub fn url(&self, name: &str) -> String {
        let folder = self.socket.as_os_str().as_encoded_bytes();
        let encoded: String = folder.iter().map(|byte| percent(*byte)).collect();
        format!("postgres://vivarium@localhost/{name}?host={encoded}")
    }

    /// The last lines that the server printed.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Account {
    /// As [`Account::make_private`], for a folder that somebody else could have made first.
    fn make_private_or_refuse(&self, folder: &Path) -> Result<()> {
        if folder.exists() && !self.owns_privately(folder) {
            return Err(Error::Foreign {
                folder: folder.to_owned(),
            });
        }
        self.make_private(folder)
    }
}

fn percent(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    }
}

/// The first 16 hexadecimal digits of the parts' hash.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The data folder says in a file where its cluster is: a data folder that is moved keeps its cluster, and a new one at an
/// old path does not find the old one's.
fn shared_top(data: &Path) -> Result<PathBuf> {
    let note = data.join("postgres.location");
    match std::fs::read_to_string(&note) {
        Ok(text) => return Ok(PathBuf::from(text.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("read", &note)(error)),
    }
    let random = uuid::Uuid::new_v4();
    let top = Path::new(SHARED).join(digest(&[
        data.as_os_str().as_encoded_bytes(),
        random.as_bytes(),
    ]));
    make_shared()?;
    std::fs::write(&note, format!("{}\n", top.display())).map_err(Error::io("write", &note))?;
    Ok(top)
}

/// `/var/lib/vivarium`, which everybody may enter whatever the umask is.
fn make_shared() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let shared = Path::new(SHARED);
    std::fs::create_dir_all(shared).map_err(Error::io("make", shared))?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(shared, open).map_err(Error::io("open", shared))
}

/// Beside the cluster, or, where that path is too long for a socket, in a short folder named by its hash.
fn socket_folder(top: &Path) -> PathBuf {
    let beside = top.join("socket");
    let length = beside.join(".s.PGSQL.5432").as_os_str().len();
    if length <= LONGEST_SOCKET {
        return beside;
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let short = runtime.filter(|it| it.is_dir() && it.as_os_str().len() < 40);
    short.unwrap_or_else(std::env::temp_dir).join(format!(
        "vivarium-{}",
        digest(&[top.as_os_str().as_encoded_bytes()])
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_moves_when_its_path_passes_100_bytes() {
        let short = Path::new("/data").join("x".repeat(50));
        assert_eq!(socket_folder(&short), short.join("socket"));
        let long = Path::new("/data").join("x".repeat(150));
        assert!(socket_folder(&long).as_os_str().len() <= 80);
        assert_ne!(socket_folder(&long), socket_folder(&long.join("y")));
    }

    #[test]
    fn an_address_encodes_what_a_url_cannot_hold() {
        let place = Place {
            top: "/a b".into(),
            cluster: "/a b/cluster".into(),
            socket: "/a b/ä".into(),
            log: "/a b/log".into(),
        };
        assert_eq!(
            place.url("x"),
            "postgres://vivarium@localhost/x?host=/a%20b/%C3%A4"
        );
    }
}
