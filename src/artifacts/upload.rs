//! Files that arrive in pieces: hashed while they are written, gone when nobody finishes them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::Store;
use crate::domain::assets::FileEntry;
use crate::domain::canonical::hex;
use crate::execution::{Blobs, LocalFile};

/// Why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The file would pass its limit.
    #[error("the file is longer than {limit} bytes")]
    TooLarge {
        /// Bytes at most.
        limit: u64,
    },
    /// The disk failed or is full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file on its way in; dropped without [`Upload::finish`] and [`Full::keep`] it leaves nothing.
pub struct Upload {
    store: Arc<Store>,
    file: tokio::fs::File,
    temporary: Temporary,
    hasher: Sha256,
    bytes: u64,
    limit: u64,
}

/// A file that is whole and synced but not in the store yet, so that its hash can be asked about first.
pub struct Full {
    store: Arc<Store>,
    temporary: Temporary,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // after a rename there is nothing to remove; otherwise the next start removes what this could not
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Upload {
    /// Takes the next piece.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), UploadError> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.limit {
            return Err(UploadError::TooLarge { limit: self.limit });
        }
        self.hasher.update(piece);
        Ok(self.file.write_all(piece).await?)
    }

    /// The file is whole: its bytes are on disk after this.
    pub async fn finish(mut self) -> io::Result<Full> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let sha256 = hex(&self.hasher.finalize());
        Ok(Full {
            store: self.store,
            temporary: self.temporary,
            sha256,
            bytes: self.bytes,
        })
    }
}

impl Full {
    /// The file as it lies now, before anybody keeps it; good for as long as this is.
    pub fn as_it_lies(&self, name: &str) -> LocalFile {
        let entry = FileEntry {
            name: name.into(),
            sha256: self.sha256.clone(),
            bytes: self.bytes,
        };
        LocalFile {
            entry,
            path: self.temporary.0.clone(),
        }
    }

    /// Takes the file into the store.
    pub async fn keep(self) -> io::Result<()> {
        blocking(move || self.store.adopt(&self.temporary.0, &self.sha256).map(drop)).await
    }
}

impl Store {
    /// An empty file of at most `limit` bytes.
    pub async fn upload(self: &Arc<Self>, limit: u64) -> io::Result<Upload> {
        let temporary = Temporary(self.unfinished());
        let file = tokio::fs::File::create_new(&temporary.0).await?;
        let store = Arc::clone(self);
        Ok(Upload {
            store,
            file,
            temporary,
            hasher: Sha256::new(),
            bytes: 0,
            limit,
        })
    }

    /// [`Blobs::verified`] for asynchronous callers.
    pub async fn checked(self: &Arc<Self>, entry: &FileEntry) -> io::Result<LocalFile> {
        let (store, entry) = (Arc::clone(self), entry.clone());
        blocking(move || store.verified(&entry)).await
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files_under(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .map(|path| if path.is_dir() { files_under(&path) } else { 1 })
            .sum()
    }

    fn store() -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path()).unwrap());
        (folder, store)
    }

    #[tokio::test]
    async fn a_file_in_pieces_is_kept_under_the_hash_of_the_whole() {
        let (folder, store) = store();
        let mut upload = store.upload(3).await.unwrap();
        for piece in [b"a", b"b", b"c"] {
            upload.write(piece).await.unwrap();
        }
        let full = upload.finish().await.unwrap();
        let entry = FileEntry {
            name: "x".into(),
            sha256: full.sha256.clone(),
            bytes: full.bytes,
        };
        // FIPS 180-2, appendix B.1
        assert!(entry.sha256.starts_with("ba7816bf8f01cfea"));
        full.keep().await.unwrap();
        assert_eq!(
            std::fs::read(store.checked(&entry).await.unwrap().path).unwrap(),
            b"abc"
        );
        assert_eq!(files_under(folder.path()), 1);
    }

    #[tokio::test]
    async fn a_file_over_its_limit_leaves_nothing() {
        let (folder, store) = store();
        let mut upload = store.upload(2).await.unwrap();
        upload.write(b"ab").await.unwrap();
        let error = upload.write(b"c").await.unwrap_err();
        assert!(matches!(error, UploadError::TooLarge { limit: 2 }));
        drop(upload);
        assert_eq!(files_under(folder.path()), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_not_finished_or_not_kept_leaves_nothing() {
        let (folder, store) = store();
        let mut upload = store.upload(9).await.unwrap();
        upload.write(b"half").await.unwrap();
        assert_eq!(files_under(folder.path()), 1);
        drop(upload);
        assert_eq!(files_under(folder.path()), 0);
        drop(store.upload(9).await.unwrap().finish().await.unwrap());
        assert_eq!(files_under(folder.path()), 0);
    }
}
