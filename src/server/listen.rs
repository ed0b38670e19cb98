//! Binding and serving: sockets are bound here, so that a busy port is an error with a name, and pingora adopts them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::Arc,
};

use pingora_core::{
    listeners::{ListenerConfig, tls::TlsSettings},
    protocols::l4::stream::L4BufferSettings,
    server::{Fds, ListenFds},
    services::{Service as _, listening::Service},
};
use socket2::{Domain, Socket, Type};
use tokio::{sync::watch, task::JoinHandle};

use crate::{route::Route, state::State};

use super::{
    Settings,
    current::Current,
    dial,
    forward::Forward,
    front::{ByAddress, FrontDoor},
    h2::H2Door,
    inside::Inside,
    tls::Certificate,
};

/// Connections that wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 65_535;

/// Binds a listening socket.
///
/// # Errors
/// The system's, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // An address of one family means that family, on every system alike.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The front door's sockets, bound and not yet served.
#[derive(Debug)]
pub struct Front {
    settings: Settings,
    plain: Vec<(SocketAddr, TcpListener)>,
    tls: Vec<(SocketAddr, TcpListener)>,
}

impl Front {
    /// Binds every address of the settings.
    ///
    /// # Errors
    /// The first address that cannot be bound, with the system's error.
    pub fn bind(settings: Settings) -> Result<Self, (SocketAddr, io::Error)> {
        let bind_all = |addresses: &[SocketAddr]| {
            addresses
                .iter()
                .map(|address| {
                    bind(*address)
                        .and_then(|socket| Ok((socket.local_addr()?, socket)))
                        .map_err(|error| (*address, error))
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let plain = bind_all(&settings.listen)?;
        let tls = bind_all(settings.tls.as_ref().map_or(&[], |tls| &tls.listen))?;
        Ok(Self { settings, plain, tls })
    }

    /// Where it listens, as URLs.
    pub fn urls(&self) -> impl Iterator<Item = String> + '_ {
        let url = |scheme| move |(address, _): &(SocketAddr, TcpListener)| format!("{scheme}://{address}");
        self.plain.iter().map(url("http")).chain(self.tls.iter().map(url("https")))
    }

    /// Serves until the switch says stop, then no new connection is taken; those that are open end their requests.
    ///
    /// The sender must live as long as connections are served.
    ///
    /// # Errors
    /// When the certificate or its key cannot be used, the authorities that the app's certificate is to be of, or the
    /// access log not be opened.
    pub fn serve(self, state: Arc<State>, routes: Vec<Route>, stop: watch::Receiver<bool>) -> Result<Running, String> {
        dial::check_authorities(&self.settings)?;
        let certificate = self.settings.tls.as_ref().map(Certificate::load).transpose()?.map(Arc::new);
        let current = Arc::new(Current::new(state, self.settings, routes)?);
        let looking = current.engine();
        tokio::spawn(async move { looking.origin.dialer.look().await });
        let proxy = Arc::new(Forward::proxy(current.clone()));
        let h2 = Arc::new(H2Door::new(current.clone(), proxy.clone()));
        let door = FrontDoor { current: current.clone(), proxy, h2, by_address: Arc::new(ByAddress::default()) };
        let mut service = Service::new("front".into(), door);
        let mut fds = Fds::new();
        let mut add = |address: SocketAddr, socket: TcpListener, tls: Option<TlsSettings>| {
            // The front reads and writes through buffers of its own.
            let config = ListenerConfig::tcp(address.to_string()).l4_buffer(L4BufferSettings::unbuffered());
            service.add_listener(match tls {
                Some(tls) => config.tls(tls),
                None => config,
            });
            fds.add(address.to_string(), socket.into_raw_fd());
        };
        for (address, socket) in self.plain {
            add(address, socket, None);
        }
        for (address, socket) in self.tls {
            add(address, socket, certificate.as_ref().map(tls_settings).transpose()?);
        }
        let fds: ListenFds = Arc::new(parking_lot::Mutex::new(fds));
        let accepting = tokio::spawn(async move { service.start_service(Some(fds), stop, 1).await });
        Ok(Running { accepting, current, certificate })
    }
}

/// A front door that serves.
pub struct Running {
    accepting: JoinHandle<()>,
    current: Arc<Current>,
    certificate: Option<Arc<Certificate>>,
}

impl Running {
    /// Takes up other settings for requests that come from now on. What sockets are bound to stays.
    ///
    /// # Errors
    /// When the certificate or its key cannot be used, or the access log not be opened; then the settings stay.
    pub fn reload(&self, settings: Settings, routes: Vec<Route>) -> Result<(), String> {
        dial::check_authorities(&settings)?;
        if let (Some(certificate), Some(tls)) = (&self.certificate, &settings.tls) {
            certificate.reload(tls)?;
        }
        self.current.reload(settings, routes)
    }

    /// Has the access log opened again by its name, after it was renamed.
    pub fn reopen_log(&self) {
        self.current.reopen_log();
    }

    /// What asks for pages by itself.
    pub fn inside(&self) -> Inside {
        Inside { current: self.current.clone() }
    }

    /// Waits until no more connections are accepted.
    pub async fn closed(self) {
        // An error is an accept loop that panicked: it is closed as well.
        let _ = self.accepting.await;
    }
}

fn tls_settings(certificate: &Arc<Certificate>) -> Result<TlsSettings, String> {
    // The paths are for pingora's own loading, which the resolver takes the place of.
    let mut settings = TlsSettings::intermediate("", "").map_err(|error| format!("server.tls: {error}"))?;
    settings.set_cert_resolver(certificate.clone());
    settings.enable_h2();
    Ok(settings)
}
