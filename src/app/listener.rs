//! The accept loop: connections with bounds of number and time. Knows bytes and sockets, no resource.
//!
//! `axum::serve` sets no time limit on the head of a request, so a client could hold a connection for ever with half a line.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::LAST_ANSWERS;
use super::connections::{Connections, Place};
use super::stalls::{AtWork, Stalls, Watched};
use crate::config;

/// HTTP/2: streams of one connection and bytes of a head.
const STREAMS: u32 = 100;
const HEAD_BYTES: u32 = 16 << 10;
/// HTTP/2: pause between two pings.
const PING: Duration = Duration::from_secs(20);

/// Serves `routes` until `closing`, then lets answers under way finish for a short while.
pub(super) fn spawn(
    listener: TcpListener,
    routes: Router,
    limits: &config::Server,
    closing: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let door = Door {
        routes,
        builder: builder(limits),
        connections: Connections::new(limits.connections, limits.connections_per_address),
        stalls: Stalls {
            opening: limits.header,
            idle: limits.idle,
            unread: limits.write_stall,
        },
    };
    tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = door.accept(&listener, &graceful) => {}
            () = closing.cancelled() => {}
        }
        drop(listener);
        if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("answers under way were cut off");
        }
    })
}

fn builder(limits: &config::Server) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING);
    builder
}

struct Door {
    routes: Router,
    builder: Builder<TokioExecutor>,
    connections: Connections,
    stalls: Stalls,
}

impl Door {
    async fn accept(&self, listener: &TcpListener, graceful: &GracefulShutdown) {
        while let Some(permit) = self.connections.room().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(place) = self.connections.admit(peer.ip(), permit) {
                        self.serve(stream, peer, place, graceful);
                    }
                }
                // Out of descriptors, most likely: a pause lets some close.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        graceful: &GracefulShutdown,
    ) {
        let _ = stream.set_nodelay(true);
        let builder = self.builder.clone();
        let at_work = AtWork::default();
        let io = TokioIo::new(Watched::new(stream, self.stalls, at_work.clone()));
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(move |request| {
            let busy = at_work.begin();
            let answer = routes.call(request);
            async move {
                let _busy = busy;
                answer.await
            }
        });
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            let connection = builder.serve_connection(io, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
        });
    }
}
