//! The real server on a free port, with a database of its own and a data folder that vanishes with it.

use vivarium::app::Server;
use vivarium::config;

use super::postgres::{TestDatabase, database};

/// A server of one test.
pub struct TestServer {
    /// Such as `http://127.0.0.1:40123`.
    pub url: String,
    /// Its database.
    pub database: TestDatabase,
    /// Its data folder.
    pub data: tempfile::TempDir,
    running: Server,
}

impl TestServer {
    /// The address as `host:port`, for raw sockets.
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address
    }

    /// An address on this server.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Stops it as a signal would; the database and the folder stay with the caller.
    pub async fn stop(self) -> (TestDatabase, tempfile::TempDir) {
        self.running.stop().await.expect("an orderly end");
        (self.database, self.data)
    }
}

/// A server with test settings: no slots, so that no job runs unless a test asks for slots.
pub async fn server() -> TestServer {
    server_with(&[]).await
}

/// The same with settings such as `("VIVARIUM_WORKER__SLOTS", "1")`.
pub async fn server_with(settings: &[(&str, &str)]) -> TestServer {
    let data = tempfile::tempdir().expect("a folder");
    server_on(database().await, data, settings).await
}

/// The same on a database and a folder that are there already.
pub async fn server_on(
    database: TestDatabase,
    data: tempfile::TempDir,
    settings: &[(&str, &str)],
) -> TestServer {
    let own = [
        ("VIVARIUM_SERVER__BIND", "127.0.0.1:0".to_owned()),
        ("VIVARIUM_DATABASE__URL", database.url()),
        ("VIVARIUM_DATABASE__CONNECTIONS", "6".to_owned()),
        ("VIVARIUM_DATA__FOLDER", data.path().display().to_string()),
        ("VIVARIUM_WORKER__SLOTS", "0".to_owned()),
        ("VIVARIUM_WORKER__DEVICE", "cpu".to_owned()),
    ];
    let given = settings
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let variables: Vec<(String, String)> = own
        .into_iter()
        .chain(given)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let loaded = config::load(None, &variables).expect("test settings are valid");
    let running = Server::start(&loaded.config)
        .await
        .expect("the server starts");
    TestServer {
        url: format!("http://{}", running.address),
        database,
        data,
        running,
    }
}
