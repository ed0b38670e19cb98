//! What an origin listens on, and the connections that come in there.

use std::{io, net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::within;

/// A connection of any kind.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Ends with a reset when it is closed, where the kind of connection knows that.
    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for TcpStream {
    fn reset_on_close(&self) -> io::Result<()> {
        // Closing with a linger time of zero sends RST in place of FIN.
        self.set_zero_linger()
    }
}

impl Socket for UnixStream {}

impl Socket for TlsStream<TcpStream> {}

/// Where to listen, and whether with TLS.
pub(crate) enum Place {
    /// With port 0 the system chooses.
    Tcp(SocketAddr, Option<TlsAcceptor>),
    Unix(PathBuf),
}

/// A bound socket.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Place {
    /// The address; for a path, one that nobody can be at.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(address, _) => *address,
            Self::Unix(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        }
    }

    /// As a sidecar is told it. A certificate is for a name.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Tcp(address, None) => format!("http://{address}"),
            Self::Tcp(address, Some(_)) => format!("https://localhost:{}", address.port()),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Listens, and remembers the port that the system chose.
    pub(crate) async fn listen(&mut self) -> Listener {
        match self {
            Self::Tcp(address, _) => {
                let listener = TcpListener::bind(*address).await.expect("a free port on loopback");
                *address = listener.local_addr().expect("a bound socket has an address");
                Listener::Tcp(listener)
            }
            Self::Unix(path) => Listener::Unix(UnixListener::bind(path).expect("a path of the test's own")),
        }
    }

    /// Holds the place without listening, so that nobody else is given it meanwhile.
    pub(crate) async fn hold(&self) -> Option<TcpSocket> {
        match self {
            Self::Tcp(address, _) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
                socket.set_reuseaddr(true).unwrap();
                // A program that another test is starting has a copy of every socket until it runs.
                within(format!("{address} to be free"), async {
                    while let Err(error) = socket.bind(*address) {
                        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "the port was the origin's a moment ago");
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                Some(socket)
            }
            Self::Unix(path) => {
                std::fs::remove_file(path).expect("the socket was there");
                None
            }
        }
    }

    /// Listens again where it was held.
    pub(crate) fn listen_again(&self, held: Option<TcpSocket>) -> Listener {
        match (self, held) {
            (Self::Unix(path), _) => Listener::Unix(UnixListener::bind(path).expect("a path of the test's own")),
            (_, Some(held)) => Listener::Tcp(held.listen(1024).expect("the port is held")),
            _ => unreachable!("ports are held"),
        }
    }

    pub(crate) fn tls(&self) -> Option<TlsAcceptor> {
        match self {
            Self::Tcp(_, tls) => tls.clone(),
            Self::Unix(_) => None,
        }
    }
}

/// A connection that was accepted and has not shaken hands.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Accepted {
    /// The connection, after the handshake if there is one; `None` when that fails.
    pub(crate) async fn open(self, tls: Option<TlsAcceptor>) -> Option<Box<dyn Socket>> {
        match (self, tls) {
            (Self::Tcp(stream), Some(tls)) => Some(Box::new(tls.accept(stream).await.ok()?)),
            (Self::Tcp(stream), None) => Some(Box::new(stream)),
            (Self::Unix(stream), _) => Some(Box::new(stream)),
        }
    }
}
