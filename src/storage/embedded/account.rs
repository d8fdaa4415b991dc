//! Who the database's processes run as: ourselves, or, for root, an unprivileged user.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{Error, Result};

/// The user of the database's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// The server's own.
    Own,
    /// Another, because the server is root.
    Other {
        /// Name in /etc/passwd.
        name: String,
        /// User number.
        uid: u32,
        /// Group number.
        gid: u32,
    },
}

impl Account {
    /// The account for this process.
    ///
    /// *Errors*: none to drop to when root.
    pub fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| entry(&passwd, name))
            .ok_or(Error::NoAccount)
    }

    /// A program run as this account, with nothing of our environment and no terminal, in a process group of its own so that
    /// the terminal's Ctrl-C reaches the server alone.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Makes `folder` with permission for this account alone.
    pub fn make_private(&self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let failed = Error::io("make", folder);
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        let owned = made.and_then(|()| self.give(folder));
        let private = std::fs::Permissions::from_mode(0o700);
        owned
            .and_then(|()| std::fs::set_permissions(folder, private))
            .map_err(failed)
    }

    fn give(&self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// The first parent of `wanted` that this account may not enter.
    pub fn barred_by(&self, wanted: &Path) -> Option<PathBuf> {
        let Self::Other { uid, gid, .. } = self else {
            return None;
        };
        let mut parents: Vec<&Path> = wanted.ancestors().skip(1).collect();
        parents.reverse();
        let barred = |folder: &&&Path| {
            std::fs::metadata(folder).is_ok_and(|facts| !may_search(&facts, *uid, *gid))
        };
        parents
            .iter()
            .find(barred)
            .map(|folder| folder.to_path_buf())
    }

    /// Refuses a place that this account cannot reach, naming the folder in the way.
    pub fn require_reach(&self, wanted: &Path) -> Result<()> {
        match (self, self.barred_by(wanted)) {
            (Self::Other { name, .. }, Some(folder)) => Err(Error::NotSearchable {
                user: name.clone(),
                folder,
                wanted: wanted.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether `folder` is this account's and closed to all others.
    pub fn owns_privately(&self, folder: &Path) -> bool {
        let uid = match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        };
        std::fs::symlink_metadata(folder)
            .is_ok_and(|facts| facts.is_dir() && facts.uid() == uid && facts.mode() & 0o077 == 0)
    }
}

/// The system's rule: the first class that fits decides alone.
fn may_search(facts: &Metadata, uid: u32, gid: u32) -> bool {
    let shift = match (facts.uid() == uid, facts.gid() == gid) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    (facts.mode() >> shift) & 1 == 1
}

fn entry(passwd: &str, wanted: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields.as_slice() {
            [name, _, uid, gid, ..] if *name == wanted => Some(Account::Other {
                name: (*name).to_owned(),
                uid: uid.parse().ok().filter(|uid| *uid != 0)?,
                gid: gid.parse().ok()?,
            }),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_account_named_twice_or_with_root_numbers_is_not_taken_for_another() {
        let passwd = "root:x:0:0:::\npostgres:x:0:0:::\nnobody:x:65534:65533:::";
        assert_eq!(entry(passwd, "postgres"), None);
        let nobody = Account::Other {
            name: "nobody".into(),
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(entry(passwd, "nobody"), Some(nobody));
    }

    #[test]
    fn the_folder_that_bars_the_way_is_named() {
        let top = tempfile::tempdir().unwrap();
        let closed = top.path().join("closed");
        std::fs::create_dir_all(closed.join("in/deep")).unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(top.path(), open).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account::Other {
            name: "stranger".into(),
            uid: 54321,
            gid: 54321,
        };
        assert_eq!(
            stranger.barred_by(&closed.join("in/deep")),
            Some(closed.clone())
        );
        let error = stranger
            .require_reach(&closed.join("in/deep"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\"stranger\"") && error.contains("chmod o+x"),
            "{error}"
        );
        assert_eq!(Account::Own.barred_by(&closed.join("in/deep")), None);
    }
}
