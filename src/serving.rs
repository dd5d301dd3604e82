//! The server's workers: HTTP for ordinary requests, and the way from a request
//! to a socket for the others.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use actix_http::{Extensions, HttpService, Protocol, error::DispatchError};
use actix_server::Server;
use actix_service::{ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App,
    dev::AppConfig,
    middleware::from_fn,
    rt::net::{TcpStream, UnixStream},
};
use anyhow::Context as _;
use log::debug;

use crate::{
    http::{self, Upgradable, upgrade},
    net::{Connection, Listener, Socket, Tls},
    session::Services,
};

/// How long a client may take for the head of its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the HTTP layer may take to end once the sessions are gone, in seconds.
const HTTP_SHUTDOWN: u64 = 1;

/// Who is on the other side of a Unix socket, for limits and for
/// `server.trusted_proxies`: this machine.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What the HTTP layer serves: a connection, and from whom it came.
type Accepted = (Connection, Protocol, Option<SocketAddr>);

/// Starts the workers, which serve what the listeners accept.
///
/// # Errors
/// What keeps them from starting.
pub(crate) fn serve(services: &Arc<Services>, listeners: Vec<Listener>) -> anyhow::Result<Server> {
    let settings = &services.settings;
    let mut builder = Server::build()
        .workers(settings.server.workers())
        .max_concurrent_connections(settings.server.max_connections)
        .shutdown_timeout(HTTP_SHUTDOWN)
        .disable_signals();
    let tls = services.certificate.clone();
    let tls = tls.map(|it| Tls::new(it, settings.tls.handshake_timeout)).transpose()?;
    for listener in listeners {
        let services = services.clone();
        builder = match listener {
            Listener::Tls(socket) => {
                let tls = tls.clone().context("no certificate")?;
                builder.listen("rookery", socket, move || {
                    let (handshakes, metrics) = (tls.handshakes(), services.metrics.clone());
                    fn_service(move |stream: TcpStream| {
                        let (handshakes, metrics) = (handshakes.clone(), metrics.clone());
                        async move {
                            let peer = stream.peer_addr().ok();
                            match handshakes.accept(stream).await {
                                Ok(stream) => Ok(accepted(Socket::Tls(Box::new(stream)), peer)),
                                Err(refusal) => {
                                    let cause = refusal.cause();
                                    debug!("no TLS handshake with {peer:?}: {cause}");
                                    metrics.handshakes_failed.count(cause);
                                    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
                                }
                            }
                        }
                    })
                    .and_then(http(&services))
                })?
            }
            Listener::Tcp(socket) => builder.listen("rookery", socket, move || {
                fn_service(move |stream: TcpStream| async move {
                    let peer = stream.peer_addr().ok();
                    Ok(accepted(Socket::Tcp(stream), peer))
                })
                .and_then(http(&services))
            })?,
            Listener::Unix(socket) => builder.listen_uds("rookery", socket, move || {
                fn_service(async |stream: UnixStream| {
                    Ok(accepted(Socket::Unix(stream), Some(LOCAL)))
                })
                .and_then(http(&services))
            })?,
        };
    }
    Ok(builder.run())
}

fn accepted(socket: Socket, peer: Option<SocketAddr>) -> Accepted {
    (Connection::new(socket), Protocol::Http1, peer)
}

fn http(
    services: &Arc<Services>,
) -> impl ServiceFactory<Accepted, Config = (), Response = (), Error = DispatchError, InitError = ()>
+ use<> {
    let application = |upgradable| {
        let services = services.clone();
        move || {
            let routes = http::routes(services.clone(), upgradable);
            let app = App::new().wrap(from_fn(http::mark)).configure(routes);
            map_config(app, |()| AppConfig::default())
        }
    };
    HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .h1_allow_half_closed(false)
        // A body is asked for bytes when all before it are written: one that writes
        // by itself then follows its head.
        .h1_write_buffer_size(1)
        .on_connect_ext(|connection: &Connection, data: &mut Extensions| {
            data.insert(connection.origin());
        })
        .upgrade(upgrade::factory(services.clone(), application(Upgradable::Yes)))
        .finish(application(Upgradable::No)())
}
