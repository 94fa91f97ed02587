//! This machine and its network, where a server elsewhere has nothing to say: addresses, and names
//! that lead to them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether a URL says by itself that it leads to this machine or its network.
pub(super) fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(_)) => is_loopback(url),
        Some(Host::Ipv4(address)) => is_near_address(address.into()),
        Some(Host::Ipv6(address)) => is_near_address(address.into()),
        None => false,
    }
}

/// Whether a URL leads to this machine alone.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            within(address).map_or_else(|| address.is_loopback(), |address| address.is_loopback())
        }
        None => false,
    }
}

/// The address of the older kind that one of the newer kind stands for: mapped, compatible or
/// translated.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let is_translated = address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    match address.to_ipv4() {
        Some(_) if address.is_loopback() || address.is_unspecified() => None,
        None if is_translated => {
            let [.., a, b, c, d] = address.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        found => found,
    }
}

fn is_near_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || first == 0
                // Shared by the customers of a provider (RFC 6598).
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => within(address).map_or_else(
            || {
                address.is_loopback()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_unspecified()
            },
            |address| is_near_address(address.into()),
        ),
    }
}

/// Resolves the names of what authorization asks. A server elsewhere must not lead to this machine
/// by a name either; the user may, and so may a server that is itself here.
pub(super) struct Guard {
    server: Url,
    /// Hosts that the user named.
    trusted: Vec<String>,
    /// Hosts that were asked for; all else that is resolved is a proxy.
    asked: Mutex<HashSet<String>>,
}

impl Guard {
    pub(super) fn new(server: Url, trusted: &[Option<&str>]) -> Arc<Self> {
        let host = |text: &&str| Some(Url::parse(text).ok()?.host_str()?.to_owned());
        Arc::new(Self {
            server,
            trusted: trusted.iter().flatten().filter_map(host).collect(),
            asked: Mutex::default(),
        })
    }

    /// Notes that this URL is about to be asked for.
    pub(super) fn note(&self, url: &Url) {
        if let Some(host) = url.host_str() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.insert(host.to_owned());
        }
    }

    fn is_checked(&self, name: &str) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.contains(name)
            && self.server.host_str() != Some(name)
            && !self.trusted.iter().any(|host| host == name)
    }
}

/// Gives reqwest a resolver of its own kind.
pub(super) struct Guarded(pub(super) Arc<Guard>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = addresses(name.as_str()).await?;
            if guard.is_checked(name.as_str())
                && found.iter().any(|one| is_near_address(one.ip()))
                && !is_at_home(&guard.server).await
            {
                return Err(Box::from(
                    "its name leads to this machine or its network, where a server elsewhere has \
                     nothing to say",
                ));
            }
            Ok::<Addrs, _>(Box::new(found.into_iter()))
        })
    }
}

async fn addresses(host: &str) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.collect())
}

/// Whether the server is on this machine or in its network.
async fn is_at_home(server: &Url) -> bool {
    if is_near(server) {
        return true;
    }
    let Some(Host::Domain(name)) = server.host() else {
        return false;
    };
    let found = addresses(name).await.unwrap_or_default();
    found.iter().any(|one| is_near_address(one.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn an_address_of_this_machine_is_known_in_every_spelling() {
        for near in [
            "http://localhost./",
            "http://a.localhost/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0.1.2.3/",
            "http://100.64.0.1/",
            "http://172.16.0.1/",
            "http://169.254.169.254/",
            "http://[::]/",
            "http://[::127.0.0.1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
        ] {
            assert!(is_near(&url(near)), "{near}");
        }
        for far in [
            "http://example.com/",
            "http://1.1.1.1/",
            "http://[2606:4700::1]/",
            "http://[64:ff9b::1.1.1.1]/",
            "http://localhost.example.com/",
        ] {
            assert!(!is_near(&url(far)), "{far}");
        }
        assert!(is_loopback(&url("http://[::1]/")));
        assert!(is_loopback(&url("http://[::ffff:127.0.0.1]/")));
        assert!(!is_loopback(&url("http://10.0.0.1/")));
    }

    #[tokio::test]
    async fn a_name_that_leads_here_is_for_the_user_and_for_servers_that_are_here() {
        let resolved = async |server: &str, trusted: Option<&str>, asked: &str| {
            let guard = Guard::new(url(server), &[trusted]);
            guard.note(&url(asked));
            let name: Name = "localhost".parse().unwrap();
            Guarded(guard).resolve(name).await.is_ok()
        };
        let there = "https://192.0.2.1/mcp";
        assert!(!resolved(there, None, "https://localhost/").await);
        assert!(resolved(there, Some("https://localhost/t"), "https://localhost/").await);
        // What nobody asked for is a proxy.
        assert!(resolved(there, None, "https://192.0.2.2/").await);
        assert!(resolved("http://127.0.0.1/mcp", None, "https://localhost/").await);
    }
}
